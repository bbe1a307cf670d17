//! A remote issuer's answers to an exchange that no RFC describes: the rules for every answer apply to them.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{
    DexClient, DexConfig, DexConnector, Disguise, Endpoint, Failure, FakeDex, IssuerClock,
};

use crate::deployment::{Deployment, Plan, TokenCall};

const LIFE: Duration = Duration::from_secs(300);
const PAGE: &str = "<html><body>Forbidden by gateway 7</body></html>";

struct Pair {
    home: Deployment,
    remote: FakeDex,
    subject: String,
}

impl Pair {
    /// A login at home, and a remote that exchanges its tokens; `credentials` are added to the server's own.
    async fn start(remote: DexConfig, credentials: Value) -> anyhow::Result<Self> {
        let clock = IssuerClock::default();
        let home = FakeDex::start(DexConfig::default().clock(&clock).id_token_lifetime(LIFE)).await?;
        let remote = remote
            .clock(&clock)
            .id_token_lifetime(LIFE)
            .client(DexClient::new("exchanger", "x-secret"))
            .connector(DexConnector::oidc("home", home.issuer()));
        let remote = FakeDex::start(remote).await?;
        let mut client = json!({"clientId": "exchanger", "clientSecret": {"file": "@exchanger"}});
        if let (Some(client), Some(more)) = (client.as_object_mut(), credentials.as_object()) {
            client.extend(more.clone());
        }
        let exchange = json!({
            "enabled": true, "dexTokenEndpoint": remote.token_endpoint(), "connectorId": "home",
            "clientCredentials": client,
        });
        let auth = json!({"type": "oauth", "requiredAudiences": ["exchanger"], "tokenExchange": exchange});
        let plan = Plan {
            servers: vec![json!({"name": "remote", "auth": auth})],
            secrets: vec![("exchanger".to_owned(), "x-secret".to_owned())],
            ..Plan::default()
        };
        let home = Deployment::start_beside(plan, home).await?;
        let subject = home.log_in("s-1").await?.id_token;
        Ok(Self {
            home,
            remote,
            subject,
        })
    }

    fn ask(&self) -> TokenCall {
        self.home.ask(&self.subject).session("s-1").server("remote")
    }
}

#[tokio::test]
async fn a_good_exchange_in_any_framing_is_taken() -> anyhow::Result<()> {
    for disguise in [
        Disguise::ByteOrderMark,
        Disguise::Utf16,
        Disguise::Gzip,
        Disguise::Form,
        Disguise::InvalidUtf8,
        Disguise::TrailingText,
        Disguise::Long,
        Disguise::Status(201),
    ] {
        let pair = Pair::start(DexConfig::default(), json!({})).await?;
        pair.remote
            .fail_next(Endpoint::Exchange, 1, &Failure::Disguised(disguise));
        let answer = pair.ask().send().await?;
        assert_eq!(answer.status, 200, "{disguise:?}: {answer:?}");
        assert_eq!(pair.remote.counts().exchanges_presented, 1, "{disguise:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_before_the_remote_passes_and_is_the_operators_business_only_if_it_stays() -> anyhow::Result<()>
{
    let pair = Pair::start(DexConfig::default(), json!({})).await?;
    pair.remote
        .fail_always(Endpoint::Exchange, Failure::answer(403, PAGE));
    for presented in 1..=5 {
        let answer = pair.ask().send().await?;
        let refusal = if presented < 5 {
            (503, "exchange_unavailable")
        } else {
            (500, "exchange_misconfigured")
        };
        assert_eq!(answer.refusal(), refusal, "{presented}");
        assert_eq!(pair.remote.counts().exchanges_presented, presented);
        pair.home.advance(90);
    }
    pair.remote.heal(Endpoint::Exchange);
    assert_eq!(pair.ask().send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn no_answer_of_a_remote_issuer_sends_a_user_to_log_in() -> anyhow::Result<()> {
    for (status, code) in [
        (400, "invalid_grant"),
        (403, "access_denied"),
        (400, "interaction_required"),
        (500, "invalid_grant"),
    ] {
        let pair = Pair::start(DexConfig::default(), json!({})).await?;
        let failure = Failure::answer(status, &json!({"error": code}).to_string());
        pair.remote.fail_always(Endpoint::Exchange, failure);
        assert_eq!(
            pair.ask().send().await?.refusal(),
            (503, "exchange_unavailable"),
            "{code}"
        );
        assert_eq!(pair.home.status("s-1").await?.text("state"), "active");
    }
    Ok(())
}

#[tokio::test]
async fn a_remote_that_wants_the_secret_in_the_form_gets_it_there() -> anyhow::Result<()> {
    let remote = DexConfig {
        post_only: true,
        ..DexConfig::default()
    };
    let methods = json!(["client_secret_post"]);
    let says_so = remote
        .clone()
        .discovery("token_endpoint_auth_methods_supported", methods);
    // From the remote, once it has refused the client, or from the configuration.
    for (remote, credentials, presented) in [
        (says_so, json!({}), 2),
        (remote, json!({"clientAuth": "post"}), 1),
    ] {
        let pair = Pair::start(remote, credentials).await?;
        let answer = pair.ask().send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let counts = pair.remote.counts();
        assert_eq!(
            (counts.exchanges_presented, counts.exchanges_succeeded),
            (presented, 1)
        );
        pair.home.advance(301);
        assert_eq!(pair.ask().send().await?.status, 200);
        assert_eq!(
            pair.remote.counts().exchanges_presented,
            presented + 1,
            "it is remembered"
        );
    }
    Ok(())
}
