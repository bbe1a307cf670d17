//! Exchanges of the login's access token: it is refreshed with the ID token, and a user without it is not sent to log in.

use serde_json::{Value, json};

use super::stage::{ACCESS_TOKEN, LIFE_SECONDS, Pair};
use crate::deployment::at_once;

async fn start(more: Value) -> anyhow::Result<Pair> {
    let mut exchange = json!({"subject": "access_token"});
    if let (Some(exchange), Some(more)) = (exchange.as_object_mut(), more.as_object()) {
        exchange.extend(more.clone());
    }
    let pair = Pair::start(exchange).await?;
    pair.remote
        .gives(&pair.remote.access_token().token(), ACCESS_TOKEN);
    Ok(pair)
}

#[tokio::test]
async fn fifty_callers_after_an_idle_time_share_one_refresh_and_one_exchange() -> anyhow::Result<()> {
    let pair = start(json!({})).await?;
    let login = pair.home.log_in("s-1").await?;
    for round in 1..=3 {
        pair.home.advance(LIFE_SECONDS + 1);
        pair.remote.gives(
            &pair.remote.access_token().claim("jti", round).token(),
            ACCESS_TOKEN,
        );
        let ask = pair.home.ask(&login.id_token).session("s-1").server("remote");
        let asks: Vec<_> = (0..50).map(|_| ask.clone()).collect();
        for answer in at_once(asks.iter().map(|ask| ask.send())).await {
            let answer = answer?;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.text("issued_token_type"), ACCESS_TOKEN);
        }
        assert_eq!(pair.home.dex.counts().refreshes_presented, round, "refreshes");
        assert_eq!(pair.remote.exchanges(), round, "exchanges");
    }
    // The subject is the access token of the newest refresh, by its own type.
    let received = pair.remote.received("/token");
    let subjects: Vec<&str> = received
        .iter()
        .flat_map(|request| request.all("subject_token"))
        .collect();
    assert_eq!(subjects.len(), 3);
    assert!(!subjects.contains(&login.id_token.as_str()) && !subjects.contains(&login.access_token.as_str()));
    assert!(
        received
            .iter()
            .all(|request| request.all("subject_token_type") == [ACCESS_TOKEN])
    );
    // The same refreshes have brought ID tokens: a server that forwards needs none of its own.
    let forwarded = pair.home.ask(&login.id_token).session("s-1").send().await?;
    assert_eq!(
        (forwarded.status, pair.home.dex.counts().refreshes_presented),
        (200, 3)
    );
    Ok(())
}

#[tokio::test]
async fn a_registered_access_token_is_exchanged_without_a_refresh() -> anyhow::Result<()> {
    let pair = start(json!({})).await?;
    let login = pair.home.dex.log_in(crate::deployment::ADMIN, "muster").await?;
    let body = json!({
        "issuer": pair.home.dex.issuer(), "client_id": "muster", "id_token": login.id_token,
        "refresh_token": login.refresh_token, "access_token": login.access_token, "access_token_expires_in": LIFE_SECONDS,
    });
    assert_eq!(pair.home.put_body("s-1", &body).await?.status, 201);
    let answer = pair
        .home
        .ask(&login.id_token)
        .session("s-1")
        .server("remote")
        .send()
        .await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(pair.home.dex.counts().refreshes_presented, 0);
    assert_eq!(
        pair.remote.received("/token")[0].all("subject_token"),
        [login.access_token.as_str()]
    );
    Ok(())
}

/// RFC 7523 with the access token as assertion, as Entra's on-behalf-of flow has it.
#[tokio::test]
async fn the_access_token_is_the_assertion_of_an_on_behalf_of_request() -> anyhow::Result<()> {
    let pair = start(json!({
        "grant": "jwt-bearer", "scopes": "api://b/.default",
        "parameters": {"requested_token_use": "on_behalf_of"},
    }))
    .await?;
    let token = pair.remote.access_token().token();
    pair.remote.answers(
        200,
        json!({"token_type": "Bearer", "expires_in": 300, "access_token": token}),
    );
    let ask = pair.logged_in().await?;
    assert_eq!(ask.send().await?.token(), token);
    let received = pair.remote.received("/token");
    let assertion = received[0].all("assertion");
    assert_eq!((received.len(), assertion.len()), (1, 1));
    assert_eq!(
        pair.home.dex.counts().refreshes_presented,
        1,
        "the login came without an access token"
    );
    Ok(())
}

#[tokio::test]
async fn a_sign_out_ends_what_was_exchanged_for_the_access_token() -> anyhow::Result<()> {
    let pair = start(json!({})).await?;
    let login = pair.home.log_in("s-1").await?;
    let ask = pair.home.ask(&login.id_token).server("remote");
    assert_eq!(ask.send().await?.status, 200);
    let subject = pair.home.dex.subject(crate::deployment::ADMIN);
    assert_eq!(pair.home.sign_out(&subject).await?.body, json!({"sessions": 1}));
    let answer = ask.send().await?;
    assert_eq!((answer.status, answer.token()), (400, ""), "{answer:?}");
    assert_eq!(pair.remote.exchanges(), 1);
    Ok(())
}
