//! Who gets no access token, and why.

use serde_json::json;
use tokenward_harness::issuer::DexUser;
use tokenward_protocol::token_endpoint::Reason;

use super::stage::{FILES, access_token, files, plan, presented, put};
use crate::deployment::{ADMIN, Deployment, Plan};

#[tokio::test]
async fn a_user_without_a_login_has_no_access_token() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(true)).await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    let ask = deployment.ask(&login.id_token).server(FILES);
    for reason in [Reason::Stale, Reason::NearExpiry, Reason::Rejected] {
        let fresh = ask.clone().reason(reason).send().await?;
        assert_eq!(fresh.refusal(), (503, "not_registered"), "{reason:?}");
    }
    deployment.advance(301);
    assert_eq!(ask.send().await?.refusal(), (400, "token_expired"));
    assert_eq!(presented(&deployment), 0);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_deletes_the_access_token() -> anyhow::Result<()> {
    for everywhere in [false, true] {
        let deployment = Deployment::start(plan(true)).await?;
        let login = deployment.dex.log_in(ADMIN, "muster").await?;
        assert_eq!(put(&deployment, "s-1", &login, Some(3600)).await?.status, 201);
        let ask = deployment.ask(&login.id_token).server(FILES);
        access_token(&ask.send().await?);
        deployment.advance(5);
        if everywhere {
            deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
        } else {
            deployment.end("s-1").await?;
        }
        assert_eq!(
            ask.send().await?.refusal(),
            (400, "unknown_session"),
            "{everywhere}"
        );
        assert_eq!(presented(&deployment), 0);
    }
    Ok(())
}

#[tokio::test]
async fn the_audiences_of_a_jwt_are_checked_and_those_of_an_opaque_token_are_not() -> anyhow::Result<()> {
    for is_opaque in [false, true] {
        let deployment = Deployment::start(Plan {
            servers: vec![files(&json!({"requiredAudiences": ["kube"]}))],
            ..plan(is_opaque)
        })
        .await?;
        let login = deployment.log_in("s-1").await?;
        let answer = deployment.ask(&login.id_token).server(FILES).send().await?;
        if is_opaque {
            access_token(&answer);
            continue;
        }
        assert_eq!(answer.refusal(), (400, "wrong_audience"), "{answer:?}");
        let description = answer.text("error_description");
        assert!(
            description.contains("access token lacks one of ['kube']"),
            "{description}"
        );
        // Requested at the login, the audience is in both tokens.
        let scopes = "openid offline_access audience:server:client_id:kube audience:server:client_id:muster";
        let login = deployment.dex.log_in_with_scopes(ADMIN, "muster", scopes).await?;
        deployment.advance(1);
        deployment.put_login("s-1", &login).await?;
        access_token(&deployment.ask(&login.id_token).server(FILES).send().await?);
    }
    Ok(())
}

#[tokio::test]
async fn an_access_token_of_another_user_or_issuer_is_refused_with_the_login() -> anyhow::Result<()> {
    let mut plan = plan(false);
    plan.dex = plan.dex.user(DexUser::new("bob@example.com"));
    let deployment = Deployment::start(plan).await?;
    let login = deployment.dex.log_in(ADMIN, "muster").await?;
    let bob = deployment.dex.log_in("bob@example.com", "muster").await?;
    let elsewhere = deployment
        .dex
        .mint(ADMIN, "muster")
        .claim("iss", "https://another.example.com");
    for (access_token, word) in [
        (bob.access_token.clone(), "another user"),
        (elsewhere.token(), "not the issuer of the login"),
        ("two words".to_owned(), "not a bearer token"),
    ] {
        let mut mixed = login.clone();
        mixed.access_token = access_token;
        let refused = put(&deployment, "s-1", &mixed, None).await?;
        assert_eq!(refused.refusal(), (400, "bad_request"), "{refused:?}");
        let description = refused.text("error_description");
        assert!(description.contains(word), "{description}");
        assert_eq!(deployment.status("s-1").await?.status, 404);
    }
    assert_eq!(put(&deployment, "s-1", &login, None).await?.status, 201);
    Ok(())
}
