//! Exchanges at a remote Dex: one for many, verified, renewed, and gone with the login.

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{
    DexClient, DexConfig, DexConnector, Endpoint, Failure, FakeDex, IssuerClock,
};
use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{ADMIN, Deployment, Plan, at_once};

const SECRET: &str = "ex+change/secret%=";

pub(crate) struct Pair {
    pub(crate) remote: FakeDex,
    pub(crate) home: Deployment,
}

/// A home Dex with its control service, and a remote Dex that accepts the home's tokens.
pub(crate) async fn pair(replicas: usize, change: impl FnOnce(&mut Value)) -> anyhow::Result<Pair> {
    let plan = Plan {
        replicas,
        ..Plan::default()
    };
    pair_of(plan, None, change).await
}

/// [`pair`] by `plan`, which gets the server `remote`, with a resource where there is one.
pub(crate) async fn pair_of(
    mut plan: Plan,
    resource: Option<&str>,
    change: impl FnOnce(&mut Value),
) -> anyhow::Result<Pair> {
    let clock = IssuerClock::default();
    let life = Duration::from_secs(300);
    // The connector needs the home's address, and the home's configuration the remote's: the home comes first.
    let remote_config = |issuer: &str| {
        DexConfig::default()
            .clock(&clock)
            .id_token_lifetime(life)
            .client(DexClient::new("exchanger", SECRET))
            .client(DexClient {
                trusted_peers: vec!["exchanger".to_owned()],
                ..DexClient::new("api", "a")
            })
            .client(DexClient::new("aloof", "a"))
            .connector(DexConnector::oidc("home", issuer))
    };
    let home_config = DexConfig {
        keeps_each_login: plan.dex.keeps_each_login,
        ..DexConfig::default().clock(&clock).id_token_lifetime(life)
    };
    let home_dex = FakeDex::start(home_config).await?;
    let remote = FakeDex::start(remote_config(home_dex.issuer())).await?;
    let mut exchange = json!({
        "enabled": true,
        "dexTokenEndpoint": remote.token_endpoint(),
        "connectorId": "home",
        "clientCredentials": {"clientId": "exchanger", "clientSecret": {"file": "@exchanger"}},
    });
    change(&mut exchange);
    let audiences = exchange
        .as_object_mut()
        .and_then(|exchange| exchange.remove("audiences"));
    let auth = json!({
        "type": "oauth", "forwardToken": true,
        "requiredAudiences": audiences.unwrap_or_else(|| json!(["exchanger"])),
        "tokenExchange": exchange,
    });
    let mut server = json!({"name": "remote", "auth": auth});
    if let Some(resource) = resource {
        server["resource"] = json!(resource);
    }
    plan.servers.push(server);
    plan.secrets.push(("exchanger".to_owned(), SECRET.to_owned()));
    let home = Deployment::start_beside(plan, home_dex).await?;
    Ok(Pair { remote, home })
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// #863: an access token was requested, and every tool was denied.
#[tokio::test]
async fn a_remote_server_gets_a_token_of_its_own_issuer() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let answer = home
        .ask(&tokens.id_token)
        .session("s-1")
        .server("remote")
        .send()
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let claims = claims(answer.token());
    assert_eq!(claims["iss"], remote.issuer());
    assert_eq!(claims["aud"], "exchanger");
    assert_eq!(claims["email"], ADMIN);
    for _ in 0..5 {
        let again = home.ask(&tokens.id_token).server("remote").send().await?;
        assert_eq!(again.token(), answer.token());
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    assert_eq!(home.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn a_stale_subject_is_refreshed_first_and_many_callers_cause_one_exchange() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(3, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    home.advance(301);
    remote.set_latency(Endpoint::Exchange, Duration::from_millis(200));
    let asks: Vec<_> = (0..60)
        .map(|caller| home.ask(&tokens.id_token).server("remote").replica(caller % 3))
        .collect();
    for answer in at_once(asks.iter().map(|ask| ask.send())).await {
        assert_eq!(answer?.status, 200);
    }
    assert_eq!(home.dex.counts().refreshes_presented, 1);
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn an_exchanged_token_is_renewed_ahead_of_its_end_and_when_it_is_rejected() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    let first = ask.send().await?;
    home.advance(190);
    remote.fail_next(Endpoint::Exchange, 1, &Failure::answer(503, "{}"));
    let kept = ask.clone().reason(Reason::NearExpiry).send().await?;
    assert_eq!(kept.token(), first.token());
    home.advance(5);
    let renewed = ask.clone().reason(Reason::NearExpiry).send().await?;
    assert_eq!(renewed.status, 200);
    assert_ne!(renewed.token(), first.token());
    // A rejection within the interval is answered with the new token, a later one with another.
    let young = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!(young.token(), renewed.token());
    home.advance(31);
    let replaced = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!(replaced.status, 200);
    assert_ne!(replaced.token(), renewed.token());
    assert_eq!(remote.counts().exchanges_presented, 4);
    Ok(())
}

#[tokio::test]
async fn what_the_remote_issuer_refuses_is_the_operators_business() -> anyhow::Result<()> {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 3] = [
        ("connectorId", |exchange| {
            exchange["connectorId"] = json!("elsewhere");
        }),
        ("clientCredentials", |exchange| {
            exchange["clientCredentials"]["clientId"] = json!("nobody");
        }),
        ("expectedIssuer", |exchange| {
            exchange["expectedIssuer"] = json!("https://other.example.com/dex");
        }),
    ];
    for (field, change) in cases {
        let Pair { remote, home } = pair(1, change).await?;
        let tokens = home.log_in("s-1").await?;
        let ask = home.ask(&tokens.id_token).server("remote");
        let answer = ask.send().await?;
        assert_eq!(
            answer.refusal(),
            (500, "exchange_misconfigured"),
            "{field}: {answer:?}"
        );
        assert!(
            answer.text("error_description").contains(field),
            "{field}: {answer:?}"
        );
        assert!(answer.header("retry-after").is_some());
        for _ in 0..5 {
            assert_eq!(ask.send().await?.refusal(), (500, "exchange_misconfigured"));
        }
        assert_eq!(remote.counts().exchanges_presented, 1, "{field}");
        assert_eq!(home.status("s-1").await?.text("state"), "active");
    }
    Ok(())
}

#[tokio::test]
async fn required_audiences_are_requested_and_checked() -> anyhow::Result<()> {
    let Pair { remote, home } =
        pair(1, |exchange| exchange["audiences"] = json!(["api", "exchanger"])).await?;
    let tokens = home.log_in("s-1").await?;
    let answer = home.ask(&tokens.id_token).server("remote").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let audiences = claims(answer.token())["aud"].clone();
    for audience in ["api", "exchanger"] {
        assert!(
            audiences
                .as_array()
                .is_some_and(|list| list.contains(&json!(audience))),
            "{audiences}"
        );
    }
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn an_untrusted_audience_is_reported_after_three_failures() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |exchange| exchange["audiences"] = json!(["aloof"])).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    assert_eq!(ask.send().await?.refusal(), (503, "exchange_unavailable"));
    home.advance(5);
    assert_eq!(ask.send().await?.refusal(), (503, "exchange_unavailable"));
    home.advance(5);
    let third = ask.send().await?;
    assert_eq!(third.refusal(), (500, "exchange_misconfigured"));
    assert!(third.text("error_description").contains("trustedPeers"));
    assert_eq!(remote.counts().exchanges_presented, 3);
    Ok(())
}

#[tokio::test]
async fn a_denied_fresh_subject_is_retried_with_backoff_and_no_login_is_lost() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    remote.fail_always(
        Endpoint::Exchange,
        Failure::answer(401, r#"{"error":"access_denied"}"#),
    );
    let ask = home.ask(&tokens.id_token).server("remote");
    for _ in 0..20 {
        assert_eq!(ask.send().await?.refusal(), (503, "exchange_unavailable"));
    }
    assert!(remote.counts().exchanges_presented <= 4, "{:?}", remote.counts());
    assert_eq!(home.status("s-1").await?.text("state"), "active");
    remote.heal(Endpoint::Exchange);
    home.advance(61);
    assert_eq!(ask.send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_dead_login_still_exchanges_what_is_fresh_and_then_needs_a_login() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    assert!(home.dex.revoke(ADMIN, "muster"));
    let ask = home.ask(&tokens.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    home.advance(301);
    for _ in 0..5 {
        assert_eq!(ask.send().await?.refusal(), (400, "needs_login"));
    }
    assert_eq!(home.dex.counts().refreshes_presented, 1);
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn signing_out_forgets_exchanged_tokens_although_they_are_still_good() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    let first = ask.send().await?;
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    assert_eq!(ask.send().await?.refusal(), (400, "unknown_session"));
    let back = home.log_in("s-2").await?;
    home.advance(1);
    let second = home.ask(&back.id_token).server("remote").send().await?;
    assert_ne!(second.token(), first.token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_during_an_exchange_leaves_nothing_behind() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let tokens = home.log_in("s-1").await?;
    remote.hold(Endpoint::Exchange);
    let ask = home.ask(&tokens.id_token).server("remote");
    let (answer, ended) = tokio::join!(ask.send(), async {
        remote.wait_until_held(Endpoint::Exchange, 1).await;
        let ended = home.end("s-1").await;
        remote.release(Endpoint::Exchange);
        ended
    });
    assert_eq!(ended?.status, 204);
    assert_eq!(answer?.refusal(), (400, "unknown_session"));
    Ok(())
}

#[tokio::test]
async fn a_token_that_the_remote_did_not_sign_for_us_is_never_handed_out() -> anyhow::Result<()> {
    for (failure, refusal) in [
        (Failure::OtherIssuer, "exchange_misconfigured"),
        (Failure::OtherAudience, "exchange_misconfigured"),
        (Failure::Garbage, "exchange_unavailable"),
    ] {
        let Pair { remote, home } = pair(1, |_| {}).await?;
        let tokens = home.log_in("s-1").await?;
        remote.fail_next(Endpoint::Exchange, 1, &failure);
        let answer = home.ask(&tokens.id_token).server("remote").send().await?;
        assert_eq!(answer.text("refusal"), refusal, "{failure:?}: {answer:?}");
    }
    Ok(())
}

/// As for a refresh: the remote issuer has answered, so it is not the issuer that the caller waits for.
#[tokio::test]
async fn an_exchanged_token_that_the_store_is_slow_to_take_is_store_unavailable() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let config = home.changed(|document| document["caller_deadline"] = "3s".into())?;
    let service = home.service(0).service().succeeded_by(config)?;
    home.service(0).replace(service);
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    // The remote issuer's keys are known from here on.
    assert_eq!(ask.send().await?.status, 200);
    home.advance(250);
    remote.hold(Endpoint::Exchange);
    let (answer, ()) = tokio::join!(ask.send(), async {
        remote.wait_until_held(Endpoint::Exchange, 1).await;
        home.store().hold(true);
        remote.release(Endpoint::Exchange);
    });
    assert_eq!(answer?.refusal(), (503, "store_unavailable"));
    home.store().hold(false);
    assert!(home.service(0).drain(Duration::from_secs(30)).await);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}
