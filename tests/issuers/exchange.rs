//! Keycloak as the remote: standard token exchange (RFC 8693) with the login's access token, at another client of the realm.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::parts::keycloak::{Login, Realm, RealmClient, RealmPlan};
use tokenward_tests::deployment::{Plan, TokenCall, at_once};

use super::stage::{ALICE, Stage, claim, plan, plan_of_realm};

/// The client that exchanges.
pub(crate) const REQUESTER: (&str, &str) = ("requester", "requester-secret");
/// The audience of the server.
const AUDIENCE: &str = "mcp-server";
/// The server that gets an access token, and the one that gets an ID token.
pub(crate) const SERVER: &str = "remote";
const SERVER_OF_ID_TOKENS: &str = "remote-id";
const CALLERS: usize = 50;

fn realm() -> RealmPlan {
    plan_of_realm()
        .first_client(|client| client.audience_client(REQUESTER.0))
        .client(
            RealmClient::new(REQUESTER.0, REQUESTER.1)
                .exchanges()
                .audience_client(AUDIENCE),
        )
        .client(RealmClient::new(AUDIENCE, "not-used-by-any-story"))
}

/// `auth` of an exchange server; what is not written follows from the endpoint's address.
pub(crate) fn exchange_server(name: &str, endpoint: &str, audience: &str, exchange: &Value) -> Value {
    let mut own = json!({
        "enabled": true, "tokenEndpoint": endpoint,
        "clientCredentials": {"clientId": REQUESTER.0, "clientSecret": {"file": "@requester"}},
    });
    for (member, value) in exchange.as_object().into_iter().flatten() {
        own[member.as_str()] = value.clone();
    }
    json!({"name": name, "auth": {
        "type": "oauth", "forwardToken": true, "requiredAudiences": [audience], "tokenExchange": own,
    }})
}

pub(crate) fn plan_with(servers: Vec<Value>, on_valkey: bool) -> Plan {
    Plan {
        servers,
        secrets: vec![("requester".to_owned(), REQUESTER.1.to_owned())],
        ..plan(if on_valkey { 2 } else { 1 }, on_valkey)
    }
}

pub(crate) async fn set(story: &str, on_valkey: bool) -> anyhow::Result<Option<Stage>> {
    let Some(realm) = super::stage::realm(story, realm()).await? else {
        return Ok(None);
    };
    let endpoint = realm.token_endpoint();
    let of_id_tokens = json!({"requestedTokenType": "urn:ietf:params:oauth:token-type:id_token"});
    let servers = vec![
        exchange_server(SERVER, &endpoint, AUDIENCE, &json!({})),
        exchange_server(SERVER_OF_ID_TOKENS, &endpoint, AUDIENCE, &of_id_tokens),
    ];
    Stage::of(realm, plan_with(servers, on_valkey)).await.map(Some)
}

fn call(stage: &Stage, login: &Login) -> TokenCall {
    stage.call("s-1", login).server(SERVER)
}

/// Fifty callers at once, by turns at the replicas; their one token.
pub(crate) async fn fifty_callers(stage: &Stage, call: &TokenCall) -> anyhow::Result<String> {
    let replicas = stage.deployment.urls.len();
    let asking = (0..CALLERS).map(|caller| {
        let call = call.clone().replica(caller % replicas);
        async move { call.send().await }
    });
    let mut tokens = HashSet::new();
    for answer in at_once(asking).await {
        let answer = answer?;
        assert_eq!(answer.status, 200, "{answer:?}");
        tokens.insert(answer.token().to_owned());
    }
    assert_eq!(tokens.len(), 1, "they got different tokens");
    Ok(tokens.into_iter().next().unwrap_or_default())
}

async fn assert_exchanges(stage: &Stage, exchanged: usize, refused: usize) -> anyhow::Result<()> {
    let counts = stage.realm.counts();
    assert_eq!(
        (counts.exchanges_presented, counts.exchanges_succeeded),
        (exchanged + refused, exchanged)
    );
    let events = stage.realm.events("TOKEN_EXCHANGE").await?;
    assert_eq!(events.len(), exchanged, "by Keycloak's own events");
    assert!(events.iter().all(|event| event.client == REQUESTER.0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_callers_of_an_exchange_server_are_one_refresh_and_one_exchange_at_keycloak()
-> anyhow::Result<()> {
    for on_valkey in [false, true] {
        let Some(stage) = set("fifty callers of an exchange server", on_valkey).await? else {
            return Ok(());
        };
        let login = stage
            .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
            .await?;
        let token = fifty_callers(&stage, &call(&stage, &login)).await?;
        assert_eq!(claim(&token, "azp")?, REQUESTER.0);
        assert_eq!(claim(&token, "typ")?, "Bearer");
        assert_eq!(claim(&token, "sub")?, *login.subject);
        stage.assert_refreshes(1, 0).await?;
        assert_exchanges(&stage, 1, 0).await?;
        // The other server's token is of another kind, and so another exchange of the same access token.
        let of_id_tokens = stage.call("s-1", &login).server(SERVER_OF_ID_TOKENS);
        let token = stage.served(&of_id_tokens).await?;
        assert_eq!(claim(&token, "typ")?, "ID");
        stage.assert_refreshes(1, 0).await?;
        assert_exchanges(&stage, 2, 0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchanged_token_is_renewed_by_the_logins_access_token() -> anyhow::Result<()> {
    let Some(stage) = set("an exchange that is renewed", false).await? else {
        return Ok(());
    };
    // Three seconds more than the margin.
    const LIFE: &str = "8";
    stage
        .realm
        .change_client(REQUESTER.0, |client| {
            client["attributes"]["access.token.lifespan"] = json!(LIFE);
        })
        .await?;
    let login = stage
        .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
        .await?;
    let call = call(&stage, &login);
    let first = stage.served(&call).await?;
    assert_eq!(stage.served(&call).await?, first, "served from the cache");
    assert_exchanges(&stage, 1, 0).await?;
    let second = until_another(&stage, &call, &first).await?;
    assert_eq!(claim(&second, "sub")?, claim(&first, "sub")?);
    assert_exchanges(&stage, 2, 0).await?;
    stage.assert_refreshes(1, 0).await
}

/// Repeats the call until its token is another one.
pub(crate) async fn until_another(stage: &Stage, call: &TokenCall, last: &str) -> anyhow::Result<String> {
    let limit = std::time::Instant::now() + super::stage::PATIENCE;
    loop {
        let token = stage.served(call).await?;
        if token != last {
            return Ok(token);
        }
        anyhow::ensure!(std::time::Instant::now() < limit, "it is not renewed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_signed_out_by_the_admin_gets_no_exchanged_token() -> anyhow::Result<()> {
    let Some(stage) = set("an exchange after a sign-out", false).await? else {
        return Ok(());
    };
    let login = stage
        .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
        .await?;
    stage.realm.log_out(ALICE).await?;
    stage.until_a_login_is_needed(&call(&stage, &login)).await?;
    stage.assert_refreshes(0, 1).await?;
    assert_exchanges(&stage, 0, 0).await
}

/// Keycloak posts a logout token, and the exchanged token that control holds is of no more use.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_admin_ends_gets_no_stored_exchanged_token_either() -> anyhow::Result<()> {
    let Some(stage) = set("an exchanged token after back-channel logout", false).await? else {
        return Ok(());
    };
    let url = format!("{}/v1/backchannel-logout", stage.deployment.urls[0]);
    stage.realm.post_logouts_to(&url).await?;
    let login = stage
        .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
        .await?;
    let call = call(&stage, &login);
    stage.served(&call).await?;
    stage.realm.delete_session(&login).await?;
    stage
        .wait_for_status("s-1", |status| status.status == 404)
        .await?;
    assert_eq!(call.send().await?.refusal(), (400, "unknown_session"));
    stage.assert_refreshes(1, 0).await?;
    assert_exchanges(&stage, 1, 0).await
}

/// What Keycloak refuses of an exchange by a mistake in its configuration, in its own words.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_keycloak_is_not_configured_for_is_misconfigured_and_costs_no_login()
-> anyhow::Result<()> {
    type Change = fn(&mut Value);
    let mistakes: [(&str, &str, Change); 4] = [
        ("exchange is off", REQUESTER.0, |client| {
            client["attributes"]["standard.token.exchange.enabled"] = json!("false");
        }),
        ("the requester is disabled", REQUESTER.0, |client| {
            client["enabled"] = json!(false);
        }),
        ("another secret", REQUESTER.0, |client| {
            client["secret"] = json!("another-secret");
        }),
        (
            "the requester is not in the subject's aud",
            super::stage::CLIENT.0,
            |client| {
                client["protocolMappers"] = json!([]);
            },
        ),
    ];
    for (name, client, mistake) in mistakes {
        let Some(stage) = set(&format!("an exchange where {name}"), false).await? else {
            return Ok(());
        };
        stage.realm.change_client(client, mistake).await?;
        let login = stage
            .log_in_with_access_token("s-1", ALICE, Realm::ONLINE)
            .await?;
        let call = call(&stage, &login);
        for _ in 0..5 {
            let answer = call.send().await?;
            assert_eq!(
                answer.refusal(),
                (500, "exchange_misconfigured"),
                "{name}: {answer:?}"
            );
        }
        let presented = stage.realm.counts().exchanges_presented;
        assert!((1..=2).contains(&presented), "{name}: {presented}");
        // The login itself is good, and serves what needs no exchange.
        stage.served(&stage.call("s-1", &login)).await?;
        stage.assert_refreshes(1, 0).await?;
    }
    Ok(())
}
