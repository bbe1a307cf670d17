//! What a remote issuer gets, and which exchanges send it nothing.

use serde_json::json;

use super::stage::{ACCESS_TOKEN, ID_TOKEN, Pair};
use crate::deployment::ADMIN;

#[tokio::test]
async fn an_exchange_has_the_configured_audiences_scopes_and_parameters() -> anyhow::Result<()> {
    let more = json!({
        "audience": ["api", "https://b.example.com"], "scopes": "read write",
        "parameters": {"resource": "https://b.example.com/mcp"},
    });
    let pair = Pair::start(more).await?;
    pair.remote
        .gives(&pair.remote.access_token().token(), ACCESS_TOKEN);
    let ask = pair.logged_in().await?;
    assert_eq!(ask.send().await?.status, 200);
    let received = pair.remote.received("/token");
    assert_eq!(received.len(), 1);
    for (name, values) in [
        (
            "grant_type",
            vec!["urn:ietf:params:oauth:grant-type:token-exchange"],
        ),
        ("subject_token_type", vec![ID_TOKEN]),
        ("requested_token_type", vec![ACCESS_TOKEN]),
        ("audience", vec!["api", "https://b.example.com"]),
        ("scope", vec!["read write"]),
        ("resource", vec!["https://b.example.com/mcp"]),
        ("connector_id", vec![]),
        ("client_secret", vec![]),
    ] {
        assert_eq!(received[0].all(name), values, "{name}");
    }
    Ok(())
}

/// RFC 7523 §2.1; the answer has no issued_token_type.
#[tokio::test]
async fn a_jwt_is_presented_as_an_authorization_grant() -> anyhow::Result<()> {
    let more = json!({"grant": "jwt-bearer", "scopes": "api://b/.default", "parameters": {"requested_token_use": "on_behalf_of"}});
    let pair = Pair::start(more).await?;
    let token = pair.remote.access_token().token();
    pair.remote.answers(
        200,
        json!({"token_type": "Bearer", "expires_in": 300, "access_token": token}),
    );
    let login = pair.home.log_in("s-1").await?;
    let answer = pair
        .home
        .ask(&login.id_token)
        .session("s-1")
        .server("remote")
        .send()
        .await?;
    assert_eq!(
        (answer.token(), answer.text("issued_token_type")),
        (token.as_str(), ACCESS_TOKEN)
    );
    let received = &pair.remote.received("/token")[0];
    assert_eq!(
        received.all("grant_type"),
        ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    );
    assert_eq!(received.all("assertion"), [login.id_token.as_str()]);
    assert_eq!(received.all("requested_token_use"), ["on_behalf_of"]);
    for absent in ["subject_token", "subject_token_type", "requested_token_type"] {
        assert!(received.all(absent).is_empty(), "{absent}");
    }
    Ok(())
}

/// The presented token is an ID token, and no issuer takes it for an access token.
#[tokio::test]
async fn without_a_registered_login_there_is_no_access_token_to_exchange() -> anyhow::Result<()> {
    let pair = Pair::start(json!({"subject": "access_token"})).await?;
    pair.remote
        .gives(&pair.remote.access_token().token(), ACCESS_TOKEN);
    let token = pair.home.dex.log_in(ADMIN, "muster").await?.id_token;
    let answer = pair.home.ask(&token).server("remote").send().await?;
    assert_eq!(answer.refusal(), (503, "not_registered"));
    assert!(
        answer
            .text("error_description")
            .contains("only a registered login has"),
        "{answer:?}"
    );
    pair.home.advance(301);
    let answer = pair.home.ask(&token).server("remote").send().await?;
    assert_eq!(answer.refusal(), (400, "token_expired"));
    assert_eq!(pair.remote.exchanges(), 0);
    Ok(())
}
