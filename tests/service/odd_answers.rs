//! Answers that no RFC describes, of an issuer or a proxy before it: the login goes on wherever it can, ends where
//! the OAuth error code demands it, and no alarm is raised.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{DexConfig, DexUser, Disguise, Endpoint, Failure, FakeDex, fingerprint};

use crate::deployment::{Deployment, Plan};

const PATIENCE: Duration = Duration::from_secs(30);
const PAGE: &str = "<html><body>Forbidden by gateway 7</body></html>";

fn plan(policy: &'static str) -> Plan {
    Plan {
        policy,
        ..Plan::default()
    }
}

#[tokio::test]
async fn a_dead_login_in_any_words_and_at_any_status_needs_a_login_and_costs_one_call() -> anyhow::Result<()>
{
    for (status, body) in [
        (
            403,
            r#"{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}"#,
        ),
        (
            200,
            r#"{"error":"invalid_grant","error_description":{"text":"x"}}"#,
        ),
        (500, r#"{"error":"Invalid_Grant","error_description":null}"#),
        (
            400,
            r#"{"error":"interaction_required","suberror":"token_expired","error_codes":[50076]}"#,
        ),
        (
            401,
            r#"{"error":"invalid_token","error_description":"The token expired"}"#,
        ),
        (400, "error=invalid_grant"),
    ] {
        let deployment = Deployment::start(plan("tolerant")).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment
            .dex
            .fail_always(Endpoint::Refresh, Failure::answer(status, body));
        for _ in 0..3 {
            let answer = deployment.ask(&tokens.id_token).session("s-1").send().await?;
            assert_eq!(answer.refusal(), (400, "needs_login"), "{status} {body}");
            deployment.advance(61);
        }
        assert_eq!(deployment.dex.counts().refreshes_presented, 1, "{status} {body}");
        assert_eq!(deployment.status("s-1").await?.text("state"), "needs_login");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_of_something_in_between_passes_and_is_the_operators_business_only_if_it_stays()
-> anyhow::Result<()> {
    for (policy, status) in [
        ("tolerant", 404),
        ("strict", 403),
        ("tolerant", 302),
        ("strict", 401),
    ] {
        let deployment = Deployment::start(plan(policy)).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment
            .dex
            .fail_always(Endpoint::Refresh, Failure::answer(status, PAGE));
        let ask = deployment.ask(&tokens.id_token).session("s-1");
        for presented in 1..=4 {
            let answer = ask.send().await?;
            assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{policy} {status}");
            assert_eq!(deployment.dex.counts().refreshes_presented, presented);
            deployment.advance(90);
        }
        let answer = ask.send().await?;
        assert_eq!(
            answer.refusal(),
            (500, "issuer_misconfigured"),
            "{policy} {status}"
        );
        assert_eq!(deployment.status("s-1").await?.text("state"), "active");
        deployment.dex.heal(Endpoint::Refresh);
        deployment.advance(90);
        assert_eq!(ask.send().await?.status, 200, "{policy} {status}");
        assert_eq!(deployment.dex.counts().refreshes_presented, 6);
    }
    Ok(())
}

#[tokio::test]
async fn a_page_that_many_logins_get_becomes_the_operators_business_although_the_issuer_is_left_alone()
-> anyhow::Result<()> {
    let dex = (0..7).fold(plan("tolerant").dex, |dex, user| {
        dex.user(DexUser::new(&format!("user-{user}@example.com")))
    });
    let deployment = Deployment::start(Plan {
        dex,
        ..plan("tolerant")
    })
    .await?;
    let mut tokens = Vec::new();
    for user in 0..7 {
        let (session, email) = (format!("s-{user}"), format!("user-{user}@example.com"));
        tokens.push(deployment.log_in_as(&session, &email).await?.id_token);
    }
    deployment.advance(301);
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::answer(404, PAGE));
    for round in 0..12 {
        let mut misconfigured = 0;
        for token in &tokens {
            let answer = deployment.ask(token).send().await?;
            match answer.refusal() {
                (503, "issuer_unavailable") => {}
                (500, "issuer_misconfigured") => misconfigured += 1,
                _ => panic!("{round}: {answer:?}"),
            }
        }
        // Calls that the open circuit suspends learn what the issuer's last five minutes were. The one that may be its
        // probe in this round learns what its own login's few calls were; which one that is depends on jitter.
        assert!(round > 6 || misconfigured == 0, "{round}: {misconfigured}");
        assert!(
            round < 11 || misconfigured >= tokens.len() - 1,
            "{round}: {misconfigured}"
        );
        deployment.advance(33);
    }
    // The open circuit has stopped most of them.
    assert!(deployment.dex.counts().refreshes_presented < 30);
    deployment.dex.heal(Endpoint::Refresh);
    deployment.advance(61);
    for token in &tokens {
        assert_eq!(deployment.ask(token).send().await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn two_minutes_of_404_while_an_ingress_is_replaced_are_never_the_operators_business()
-> anyhow::Result<()> {
    let deployment = Deployment::start(plan("tolerant")).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment
        .dex
        .fail_always(Endpoint::Refresh, Failure::answer(404, "default backend - 404"));
    let ask = deployment.ask(&tokens.id_token);
    for _ in 0..24 {
        assert_eq!(ask.send().await?.refusal(), (503, "issuer_unavailable"));
        deployment.advance(5);
    }
    deployment.dex.heal(Endpoint::Refresh);
    deployment.advance(61);
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_good_answer_in_any_framing_is_taken_and_no_refresh_token_is_presented_twice() -> anyhow::Result<()>
{
    for policy in ["tolerant", "strict"] {
        for disguise in [
            Disguise::ByteOrderMark,
            Disguise::Utf16,
            Disguise::Gzip,
            Disguise::Deflate,
            Disguise::Form,
            Disguise::ObjectMember,
            Disguise::TwiceNamed,
            Disguise::InvalidUtf8,
            Disguise::TrailingText,
            Disguise::Long,
            Disguise::TooLong,
            Disguise::BrokenOff,
            Disguise::CalledHtml,
            Disguise::Status(201),
            Disguise::Status(203),
            Disguise::ExpAsFloat,
        ] {
            let deployment = Deployment::start(plan(policy)).await?;
            let tokens = deployment.log_in("s-1").await?;
            deployment.advance(301);
            deployment
                .dex
                .fail_next(Endpoint::Refresh, 1, &Failure::Disguised(disguise));
            let first = deployment.ask(&tokens.id_token).send().await?;
            assert_eq!(first.status, 200, "{policy} {disguise:?}: {first:?}");
            deployment.advance(301);
            let second = deployment.ask(&tokens.id_token).send().await?;
            assert_eq!(second.status, 200, "{policy} {disguise:?}: {second:?}");
            let counts = deployment.dex.counts();
            let numbers = (counts.refreshes_presented, counts.refreshes_succeeded);
            assert_eq!(numbers, (2, 2), "{policy} {disguise:?}");
            let mut presented: Vec<_> = deployment
                .dex
                .presentations()
                .into_iter()
                .map(|presentation| presentation.fingerprint)
                .collect();
            presented.dedup();
            assert_eq!(presented.len(), 2, "{policy} {disguise:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_id_token_that_cannot_be_read_is_no_substitution_and_the_new_refresh_token_is_stored()
-> anyhow::Result<()> {
    for policy in ["tolerant", "strict"] {
        for (disguise, says) in [
            (Disguise::LongIdToken, "longer than"),
            (Disguise::ExpAsText, "a number as exp"),
            (Disguise::IdTokenAsObject, "id_token is not a string"),
        ] {
            let deployment = Deployment::start(plan(policy)).await?;
            let tokens = deployment.log_in("s-1").await?;
            deployment.advance(301);
            deployment
                .dex
                .fail_next(Endpoint::Refresh, 1, &Failure::Disguised(disguise));
            let answer = deployment.ask(&tokens.id_token).send().await?;
            assert_eq!(answer.refusal(), (500, "issuer_misconfigured"), "{disguise:?}");
            let described = answer.text("error_description");
            assert!(described.contains(says), "{disguise:?}: {described}");
            deployment.advance(31);
            let again = deployment.ask(&tokens.id_token).send().await?;
            assert_eq!(again.status, 200, "{policy} {disguise:?}: {again:?}");
            let presentations = deployment.dex.presentations();
            assert_eq!(presentations.len(), 2, "{disguise:?}");
            assert_eq!(presentations[0].fingerprint, fingerprint(&tokens.refresh_token));
            assert_ne!(presentations[0].fingerprint, presentations[1].fingerprint);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_must_show_its_secret_in_the_form_does_so_as_discovery_states() -> anyhow::Result<()> {
    let only_post = json!(["client_secret_post"]);
    let dex = DexConfig {
        post_only: true,
        ..DexConfig::default().discovery("token_endpoint_auth_methods_supported", only_post)
    };
    for policy in ["tolerant", "strict"] {
        let deployment = Deployment::start(Plan {
            dex: dex.clone().id_token_lifetime(Duration::from_secs(300)),
            ..plan(policy)
        })
        .await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.status, 200, "{policy}: {answer:?}");
        let counts = deployment.dex.counts();
        assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    }
    Ok(())
}

#[tokio::test]
async fn with_a_configured_endpoint_the_document_is_read_once_the_client_was_refused() -> anyhow::Result<()> {
    let dex = DexConfig {
        post_only: true,
        ..plan("strict").dex.discovery(
            "token_endpoint_auth_methods_supported",
            json!(["client_secret_post"]),
        )
    };
    let dex = FakeDex::start(dex).await?;
    let (token_endpoint, jwks_uri) = (dex.token_endpoint(), dex.jwks_uri());
    let deployment = Deployment::start_beside(plan("strict"), dex).await?;
    let config = deployment.changed(|document| {
        document["issuers"][0]["token_endpoint"] = json!(token_endpoint);
        document["issuers"][0]["jwks_uri"] = json!(jwks_uri);
    })?;
    let next = deployment.service(0).service().succeeded_by(config)?;
    deployment.service(0).replace(next);
    let tokens = deployment.log_in("s-1").await?;
    assert_eq!(deployment.dex.counts().discovery_fetches, 0);
    deployment.advance(301);
    let ask = deployment.ask(&tokens.id_token);
    assert_eq!(ask.send().await?.refusal(), (500, "issuer_misconfigured"));
    deployment
        .dex
        .wait_for_counts(|counts| counts.discovery_fetches == 1, PATIENCE)
        .await?;
    deployment.advance(31);
    assert_eq!(ask.send().await?.status, 200);
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (2, 1));
    Ok(())
}
