//! What else an issuer and the way to it can do: refuse for a while, answer late, change its keys, be denied its home.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::issuer::{
    DexClient, DexConfig, DexConnector, Endpoint, Failure, FakeDex, IssuerClock,
};
use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{ADMIN, Deployment, Plan, TokenCall};

const LIFE: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(30);
/// Every letter that a careless client encodes wrongly.
const ODD_SECRET: &str = "+ /=%:;&?#\"\\'~%2B%%";

const NOT_CONNECTED: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure";
const BROKE_OFF: &str =
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination";

fn plan(policy: &'static str, settings: serde_json::Value) -> Plan {
    Plan {
        dex: DexConfig::default()
            .id_token_lifetime(LIFE)
            .reuse_interval(Duration::from_secs(3600)),
        policy,
        settings,
        ..Plan::default()
    }
}

/// With an issuer that has no introspection endpoint: whether a refresh token is unused stays unknown.
fn mute(plan: Plan) -> Plan {
    Plan {
        dex: plan.dex.clone().discovery("introspection_endpoint", json!(null)),
        ..plan
    }
}

#[tokio::test]
async fn an_issuers_retry_after_is_honoured_up_to_five_minutes() -> anyhow::Result<()> {
    for policy in ["tolerant", "strict"] {
        for (asked, granted) in [(120, 120), (86_400, 300)] {
            let deployment = Deployment::start(plan(policy, json!({}))).await?;
            let tokens = deployment.log_in("s-1").await?;
            deployment.advance(301);
            let failure = Failure::too_many_requests(asked);
            deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
            let ask = deployment.ask(&tokens.id_token).session("s-1");
            let answer = ask.send().await?;
            assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{policy} {asked}");
            let told = answer
                .header("retry-after")
                .and_then(|text| text.parse::<u64>().ok());
            assert!(
                told.is_some_and(|told| (granted - 5..=granted).contains(&told)),
                "{told:?}"
            );
            deployment.advance(granted - 10);
            assert_eq!(ask.send().await?.refusal(), (503, "issuer_unavailable"));
            assert_eq!(deployment.dex.counts().refreshes_presented, 1);
            deployment.advance(11);
            assert_eq!(ask.send().await?.status, 200, "{policy} {asked}");
            assert_eq!(deployment.dex.counts().refreshes_presented, 2);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_streak_of_every_5xx_ends_no_login_where_presenting_again_is_safe() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan("tolerant", json!({}))).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    let streak = [500, 502, 503, 504, 507, 520, 599, 500, 503];
    for (at, status) in streak.into_iter().enumerate() {
        let failure = Failure::answer(status, "<html>gateway</html>");
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), (503, "issuer_unavailable"), "{status}");
        assert_eq!(deployment.dex.counts().refreshes_presented, at + 1);
        deployment.advance(61);
    }
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.status("s-1").await?.text("state"), "active");
    Ok(())
}

#[tokio::test]
async fn at_a_strict_issuer_a_gateway_that_may_have_lost_the_answer_is_not_called_twice() -> anyhow::Result<()>
{
    let oauth = r#"{"error":"server_error"}"#;
    let cases = [
        // Not done: what the issuer itself refuses, and answers without a call to it (429, 404, 302). Unknown: a proxy's 5xx,
        // and a page in place of an OAuth answer.
        (500, oauth, (503, "issuer_unavailable")),
        (503, oauth, (503, "issuer_unavailable")),
        (429, "{}", (503, "issuer_unavailable")),
        (404, "404 page not found", (503, "issuer_unavailable")),
        (302, "", (503, "issuer_unavailable")),
        (500, "<html>", (400, "needs_login")),
        (200, "<html>", (400, "needs_login")),
        (502, "<html>", (400, "needs_login")),
        (504, "<html>", (400, "needs_login")),
        // Envoy answers 503 for a connection that was never made, and also for one that broke after the request.
        (503, "no healthy upstream", (503, "issuer_unavailable")),
        (503, NOT_CONNECTED, (503, "issuer_unavailable")),
        (503, BROKE_OFF, (400, "needs_login")),
        (520, "error code: 520", (400, "needs_login")),
        (522, "error code: 522", (503, "issuer_unavailable")),
        (524, "error code: 524", (400, "needs_login")),
    ];
    for (status, body, refusal) in cases {
        let deployment = Deployment::start(mute(plan("strict", json!({})))).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        let failure = Failure::answer(status, body);
        deployment.dex.fail_next(Endpoint::Refresh, 1, &failure);
        let ask = deployment.ask(&tokens.id_token);
        assert_eq!(ask.send().await?.refusal(), refusal, "{status}");
        deployment.advance(61);
        let lost = refusal.0 == 400;
        assert_eq!(ask.send().await?.status, if lost { 400 } else { 200 }, "{status}");
        let presented = deployment.dex.counts().refreshes_presented;
        assert_eq!(presented, if lost { 1 } else { 2 }, "{status}");
    }
    Ok(())
}

/// Repeats the call until it is served: on a busy machine a short caller deadline may pass without a slow issuer.
async fn served_in_the_end(ask: &TokenCall) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let answer = ask.send().await?;
        if answer.status == 200 {
            return Ok(());
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(Instant::now() < limit, "still {answer:?}");
    }
}

#[tokio::test]
async fn an_issuer_slower_than_its_callers_is_waited_for_once() -> anyhow::Result<()> {
    let settings = json!({"caller_deadline": "400ms"});
    let deployment = Deployment::start(plan("strict", settings)).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.dex.hold(Endpoint::Refresh);
    let ask = deployment.ask(&tokens.id_token);
    for _ in 0..3 {
        assert_eq!(ask.send().await?.refusal(), (503, "busy"));
    }
    deployment.dex.release(Endpoint::Refresh);
    assert!(deployment.service(0).drain(PATIENCE).await);
    served_in_the_end(&ask).await?;
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    Ok(())
}

#[tokio::test]
async fn an_issuer_slower_than_its_timeout_is_called_again_only_where_that_is_safe() -> anyhow::Result<()> {
    for (policy, status, presented) in [("tolerant", 200, 2), ("strict", 400, 1)] {
        let settings = json!({"issuer_timeout": "3s"});
        let deployment = Deployment::start(mute(plan(policy, settings))).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        deployment.dex.hold(Endpoint::Refresh);
        let ask = deployment.ask(&tokens.id_token);
        let late = ask.send().await?;
        deployment.dex.release(Endpoint::Refresh);
        let expected = match policy {
            "strict" => (400, "needs_login"),
            _ => (503, "issuer_unavailable"),
        };
        assert_eq!(late.refusal(), expected, "{policy}");
        deployment.advance(61);
        assert_eq!(ask.send().await?.status, status, "{policy}");
        assert_eq!(deployment.dex.counts().refreshes_presented, presented, "{policy}");
    }
    Ok(())
}

#[tokio::test]
async fn keys_that_come_late_are_fetched_once_although_no_caller_waits_for_them() -> anyhow::Result<()> {
    let settings = json!({"caller_deadline": "400ms"});
    let mut deployment = Deployment::start(plan("tolerant", settings)).await?;
    deployment.log_in("s-1").await?;
    // One that remembers the keys of before, and not the one that signs now.
    let restarted = deployment.add_replica().await?;
    deployment.dex.rotate_keys();
    let signed_since = deployment.dex.mint(ADMIN, "muster").token();
    let before = deployment.dex.counts().key_fetches;
    deployment.dex.hold(Endpoint::Keys);
    let ask = deployment.ask(&signed_since).replica(restarted);
    for _ in 0..3 {
        // They are held until these have their answers: no caller waits for them.
        let answer = ask.send().await?;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some());
    }
    deployment.dex.release(Endpoint::Keys);
    served_in_the_end(&ask).await?;
    assert_eq!(deployment.dex.counts().key_fetches, before + 1);
    Ok(())
}

#[tokio::test]
async fn keys_that_change_between_two_calls_cost_no_login() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan("strict", json!({}))).await?;
    let mut presented = deployment.log_in("s-1").await?.id_token;
    for round in 1..=4 {
        deployment.advance(301);
        deployment.dex.rotate_keys();
        if round % 2 == 0 {
            deployment.dex.forget_previous_keys();
        }
        // The answer is signed by a key that control has not seen yet.
        let answer = deployment.ask(&presented).session("s-1").send().await?;
        assert_eq!(answer.status, 200, "round {round}: {answer:?}");
        presented = answer.token().to_owned();
    }
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (4, 4));
    Ok(())
}

struct Pair {
    home: Deployment,
    remote: FakeDex,
}

async fn pair(connector: impl FnOnce(&str) -> DexConnector) -> anyhow::Result<Pair> {
    let clock = IssuerClock::default();
    let dex = DexConfig::default().clock(&clock).id_token_lifetime(LIFE);
    let home = FakeDex::start(dex.clone().client(DexClient::new("odd", ODD_SECRET))).await?;
    let client = DexClient::new("exchanger", ODD_SECRET);
    let remote = FakeDex::start(dex.client(client).connector(connector(home.issuer()))).await?;
    let exchange = json!({
        "enabled": true,
        "dexTokenEndpoint": remote.token_endpoint(),
        "connectorId": "home",
        "clientCredentials": {"clientId": "exchanger", "clientSecret": {"file": "@exchanger"}},
    });
    let auth = json!({
        "type": "oauth", "forwardToken": true, "requiredAudiences": ["exchanger"], "tokenExchange": exchange,
    });
    let plan = Plan {
        servers: vec![json!({"name": "remote", "auth": auth})],
        secrets: vec![("exchanger".to_owned(), ODD_SECRET.to_owned())],
        client: ("odd".to_owned(), ODD_SECRET.to_owned()),
        ..Plan::default()
    };
    let home = Deployment::start_beside(plan, home).await?;
    Ok(Pair { home, remote })
}

#[tokio::test]
async fn secrets_of_odd_letters_reach_both_issuers_as_they_are() -> anyhow::Result<()> {
    let Pair { home, remote } = pair(|issuer| DexConnector::oidc("home", issuer)).await?;
    let tokens = home.log_in("s-1").await?;
    home.advance(301);
    let answer = home.ask(&tokens.id_token).server("remote").send().await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(home.dex.counts().refreshes_succeeded, 1);
    assert_eq!(remote.counts().exchanges_succeeded, 1);
    Ok(())
}

#[tokio::test]
async fn a_remote_that_cannot_reach_the_home_denies_and_no_user_is_signed_out() -> anyhow::Result<()> {
    let asks_home = |issuer: &str| DexConnector {
        get_user_info: true,
        ..DexConnector::oidc("home", issuer)
    };
    let Pair { home, remote } = pair(asks_home).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).session("s-1").server("remote");
    home.dex.set_down(true);
    for round in 1..=10 {
        let answer = ask.send().await?;
        assert_eq!(
            answer.refusal(),
            (503, "exchange_unavailable"),
            "round {round}: {answer:?}"
        );
        assert!(answer.header("retry-after").is_some());
        home.advance(10);
    }
    let denied = remote.counts().exchanges_presented;
    assert!((2..=10).contains(&denied), "{denied}");
    // Before the token is so near its expiry that it may be renewed ahead of time.
    assert_eq!(home.dex.counts().refreshes_presented, 0);
    home.dex.set_down(false);
    home.advance(61);
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(home.status("s-1").await?.text("state"), "active");
    Ok(())
}

#[tokio::test]
async fn a_remote_that_changes_its_keys_between_two_exchanges_is_believed_after_a_look() -> anyhow::Result<()>
{
    let Pair { home, remote } = pair(|issuer| DexConnector::oidc("home", issuer)).await?;
    let tokens = home.log_in("s-1").await?;
    let ask = home.ask(&tokens.id_token).server("remote");
    let first = ask.send().await?;
    assert_eq!(first.status, 200, "{first:?}");
    let fetches = remote.counts().key_fetches;
    remote.rotate_keys();
    home.advance(31);
    let second = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!(second.status, 200, "{second:?}");
    assert_ne!(first.token(), second.token());
    assert_eq!(remote.counts().key_fetches, fetches + 1);
    // Twice within the time between two fetches: not believed unseen, and no storm of fetches.
    remote.rotate_keys();
    home.dex.rotate_keys();
    home.advance(5);
    let unseen = ask.clone().reason(Reason::Rejected).send().await?;
    assert!([200, 503].contains(&unseen.status), "{unseen:?}");
    home.advance(31);
    let third = ask.clone().reason(Reason::Rejected).send().await?;
    assert_eq!(third.status, 200, "{third:?}");
    assert!(remote.counts().key_fetches <= fetches + 3);
    Ok(())
}
