//! Exchanges where the issuer has them: a token for another API in the user's name, renewed with the login's access token.

use serde_json::{Value, json};
use tokenward_harness::cloud_issuers::{CloudIssuer, CloudProduct, UserState};

use super::stage::{Stage, USER, Variant, server};
use crate::deployment::at_once;

const SERVER: &str = "reports";

/// `auth` of a server behind an exchange at the issuer itself, as docs/issuers.md has it.
fn auth(issuer: &CloudIssuer) -> Value {
    let own = match issuer.product() {
        CloudProduct::Entra => json!({"scopes": "api://reports/.default"}),
        CloudProduct::Okta => json!({"audience": [issuer.api_audience()], "scopes": "reports:read"}),
        CloudProduct::Auth0 | CloudProduct::Google => json!({
            "audience": [issuer.api_audience()], "subjectTokenType": "urn:example:login", "scopes": "read:reports",
        }),
    };
    let mut exchange = json!({
        "enabled": true,
        "dialect": issuer.product().name(),
        "tokenEndpoint": issuer.token_endpoint(),
        "expectedIssuer": issuer.issuer(),
        "jwksUri": issuer.jwks_uri(),
        "clientCredentials": {"clientId": "muster", "clientSecret": {"file": "@exchanger"}},
    });
    for (name, value) in own.as_object().into_iter().flatten() {
        exchange[name.as_str()] = value.clone();
    }
    json!({
        "type": "oauth", "forwardToken": true, "requiredAudiences": [issuer.api_audience()],
        "tokenExchange": exchange,
    })
}

async fn stage(variant: Variant) -> anyhow::Result<Stage> {
    Stage::with(
        variant,
        |_| {},
        |plan, issuer| {
            plan.servers = vec![server(SERVER, &auth(issuer))];
            plan.secrets = vec![("exchanger".to_owned(), "s3cret".to_owned())];
        },
    )
    .await
}

const WITH_EXCHANGE: [Variant; 4] = [
    Variant::ENTRA,
    Variant::OKTA,
    Variant::AUTH0,
    Variant::AUTH0_WITH_OVERLAP,
];

#[tokio::test]
async fn a_token_for_the_server_is_exchanged_and_renewed_with_the_logins_access_token() -> anyhow::Result<()>
{
    for variant in WITH_EXCHANGE {
        let stage = stage(variant).await?;
        let login = stage.log_in_with_access_token("s-1").await?;
        let mut presented = login.id_token;
        let ask = |token: &str| stage.ask("s-1", token).server(SERVER);
        let first = ask(&presented).send().await?;
        assert_eq!(first.status, 200, "{variant:?}: {first:?}");
        assert_ne!(first.token(), login.access_token);
        let mut last = first.token().to_owned();
        for round in 1..=3 {
            stage.expire();
            let renewed = ask(&presented).send().await?;
            assert_eq!(renewed.status, 200, "{variant:?}: {renewed:?}");
            assert_ne!(renewed.token(), last);
            last = renewed.token().to_owned();
            let counts = stage.issuer.counts();
            let numbers = (counts.refreshes_succeeded, counts.exchanges_succeeded);
            assert_eq!(numbers, (round, round + 1), "{variant:?}");
            // What the other server gets comes from the same refresh.
            presented = stage.renewed("s-1", &presented).await?;
            assert_eq!(stage.issuer.counts().refreshes_presented, round, "{variant:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn fifty_callers_bring_one_refresh_and_one_exchange() -> anyhow::Result<()> {
    for variant in WITH_EXCHANGE {
        let stage = stage(variant).await?;
        let login = stage.log_in_with_access_token("s-1").await?;
        stage.expire();
        let ask = stage.ask("s-1", &login.id_token).server(SERVER);
        for answer in at_once((0..50).map(|_| ask.send())).await {
            let answer = answer?;
            assert_eq!(answer.status, 200, "{variant:?}: {answer:?}");
        }
        let counts = stage.issuer.counts();
        let numbers = (counts.refreshes_presented, counts.exchanges_presented);
        assert_eq!(numbers, (1, 1), "{variant:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_login_that_has_ended_ends_its_exchanges_without_another_call() -> anyhow::Result<()> {
    for variant in WITH_EXCHANGE {
        let stage = stage(variant).await?;
        let login = stage.log_in_with_access_token("s-1").await?;
        let ask = stage.ask("s-1", &login.id_token).server(SERVER);
        assert_eq!(ask.send().await?.status, 200, "{variant:?}");
        assert_eq!(stage.control.end("s-1").await?.status, 204);
        stage.expire();
        let answer = ask.send().await?;
        assert_eq!(answer.status, 400, "{variant:?}: {answer:?}");
        let counts = stage.issuer.counts();
        let numbers = (counts.refreshes_presented, counts.exchanges_presented);
        assert_eq!(numbers, (0, 1), "{variant:?}");
    }
    Ok(())
}

/// What the user or an administrator must do at Entra first; no login here does it.
#[tokio::test]
async fn what_entra_refuses_to_exchange_ends_no_login_and_is_presented_once() -> anyhow::Result<()> {
    let refusals = [
        (
            UserState::MustInteract,
            (503, "exchange_unavailable"),
            "requires the user to act there",
        ),
        (
            UserState::ConsentWithdrawn,
            (500, "exchange_misconfigured"),
            "must consent there",
        ),
    ];
    for (user, refusal, cause) in refusals {
        let stage = stage(Variant::ENTRA).await?;
        let login = stage.log_in_with_access_token("s-1").await?;
        let forwarding = stage.ask("s-1", &login.id_token);
        let ask = forwarding.clone().server(SERVER);
        stage.issuer.set_user(USER, user);
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), refusal);
        assert!(answer.text("error_description").contains(cause), "{answer:?}");
        assert_eq!(ask.send().await?.refusal(), refusal);
        assert_eq!(forwarding.send().await?.status, 200);
        assert_eq!(stage.state("s-1").await?, "active");
        let counts = stage.issuer.counts();
        let numbers = (counts.refreshes_presented, counts.exchanges_presented);
        assert_eq!(numbers, (0, 1), "{user:?}");
        stage.issuer.set_user(USER, UserState::Active);
        stage.pause();
        assert_eq!(stage.settled(&ask).await?.status, 200, "{user:?}");
    }
    Ok(())
}
