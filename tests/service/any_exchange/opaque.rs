//! Answers with opaque tokens: introspected, or believed.

use serde_json::{Value, json};
use tokenward_protocol::token_endpoint::Reason;

use super::stage::{ACCESS_TOKEN, CLIENT, LIFE_SECONDS, Pair};

const OPAQUE: &str = "2YotnFZFEjr1zCsicMWpAA.x~y+z/==";

fn introspection() -> Value {
    json!({"verify": "introspection"})
}

#[tokio::test]
async fn an_opaque_token_is_believed_for_the_stated_time_and_then_renewed() -> anyhow::Result<()> {
    let pair = Pair::start(json!({"verify": "expires_in"})).await?;
    let ask = pair.logged_in().await?;
    pair.remote.gives(OPAQUE, ACCESS_TOKEN);
    for _ in 0..3 {
        let answer = ask.send().await?;
        assert_eq!((answer.status, answer.token()), (200, OPAQUE));
        assert_eq!(answer.text("issued_token_type"), ACCESS_TOKEN);
        assert_eq!(answer.body["expires_in"], 300);
    }
    assert_eq!(
        (pair.remote.exchanges(), pair.remote.received("/introspect").len()),
        (1, 0)
    );
    // Renewed ahead of time: it has a life like any other token.
    pair.home.advance(LIFE_SECONDS - 70);
    pair.remote.gives("next", ACCESS_TOKEN);
    assert_eq!(
        ask.clone().reason(Reason::NearExpiry).send().await?.token(),
        "next"
    );
    assert_eq!(pair.remote.exchanges(), 2);
    // A rejected one is replaced.
    pair.home.advance(31);
    pair.remote.gives("third", ACCESS_TOKEN);
    assert_eq!(
        ask.clone().reason(Reason::Rejected).send().await?.token(),
        "third"
    );
    Ok(())
}

#[tokio::test]
async fn a_life_that_nothing_states_is_not_invented() -> anyhow::Result<()> {
    for (verify, cause) in [
        ("expires_in", "(expires_in)"),
        ("introspection", "one of exp and expires_in"),
    ] {
        let pair = Pair::start(json!({"verify": verify})).await?;
        let ask = pair.logged_in().await?;
        pair.remote.introspects(200, json!({"active": true}));
        pair.remote.answers(
            200,
            json!({"access_token": OPAQUE, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}),
        );
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), (500, "exchange_misconfigured"));
        assert!(answer.text("error_description").contains(cause), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_not_served() -> anyhow::Result<()> {
    for token in ["a b", "a\nb", "=", "ü"] {
        let pair = Pair::start(json!({"verify": "expires_in"})).await?;
        let ask = pair.logged_in().await?;
        pair.remote.gives(token, ACCESS_TOKEN);
        assert_eq!(
            ask.send().await?.refusal(),
            (500, "exchange_misconfigured"),
            "{token:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn introspection_by_the_exchanging_client_decides_about_an_opaque_token() -> anyhow::Result<()> {
    let pair = Pair::start(introspection()).await?;
    let ask = pair.logged_in().await?;
    pair.remote.gives(OPAQUE, ACCESS_TOKEN);
    let exp_seconds = pair.home.clock().now_seconds() + 200;
    let body = json!({
        "active": true, "exp": exp_seconds, "sub": "alice", "iss": pair.remote.issuer(), "aud": ["api"], "client_id": CLIENT,
    });
    pair.remote.introspects(200, body);
    for _ in 0..3 {
        let answer = ask.send().await?;
        assert_eq!(
            (answer.token(), &answer.body["expires_at"]),
            (OPAQUE, &json!(exp_seconds))
        );
    }
    let introspected = pair.remote.received("/introspect");
    assert_eq!(
        (pair.remote.exchanges(), introspected.len()),
        (1, 1),
        "once for each token"
    );
    let request = &introspected[0];
    assert_eq!(
        (request.all("token"), request.all("token_type_hint")),
        (vec![OPAQUE], vec!["access_token"])
    );
    assert!(request.authorization.starts_with("Basic "), "{request:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_introspection_does_not_confirm_is_not_served() -> anyhow::Result<()> {
    let rows = [
        (
            200,
            json!({"active": false}),
            (500, "exchange_misconfigured"),
            "not active",
        ),
        (
            200,
            json!({"active": true, "aud": "other"}),
            (500, "exchange_misconfigured"),
            "required audience 'api'",
        ),
        (
            200,
            json!({"active": true, "iss": "https://other"}),
            (500, "exchange_misconfigured"),
            "set expectedIssuer",
        ),
        (
            200,
            json!({"active": true, "client_id": "portal"}),
            (500, "exchange_misconfigured"),
            "issued to the client",
        ),
        (
            200,
            json!({"active": true, "cnf": {}}),
            (500, "exchange_misconfigured"),
            "bound to a key",
        ),
        (
            401,
            json!({"error": "invalid_client"}),
            (500, "exchange_misconfigured"),
            "set verify: expires_in",
        ),
        (503, json!({}), (503, "exchange_unavailable"), ""),
    ];
    for (status, body, refusal, cause) in rows {
        let pair = Pair::start(introspection()).await?;
        let ask = pair.logged_in().await?;
        pair.remote.gives(OPAQUE, ACCESS_TOKEN);
        pair.remote.introspects(status, body.clone());
        let answer = ask.send().await?;
        assert_eq!(answer.refusal(), refusal, "{body}: {answer:?}");
        assert!(answer.text("error_description").contains(cause), "{answer:?}");
        assert_eq!(pair.home.status("s-1").await?.text("state"), "active");
    }
    Ok(())
}

#[tokio::test]
async fn without_an_introspection_endpoint_the_cause_names_the_other_way() -> anyhow::Result<()> {
    let pair = Pair::start_with(introspection(), |dex| {
        dex.discovery("introspection_endpoint", Value::Null)
    })
    .await?;
    let ask = pair.logged_in().await?;
    pair.remote.gives(OPAQUE, ACCESS_TOKEN);
    let answer = ask.send().await?;
    assert_eq!(answer.refusal(), (500, "exchange_misconfigured"));
    let description = answer.text("error_description");
    assert!(
        description.contains("no introspection endpoint; set verify: expires_in"),
        "{description}"
    );
    Ok(())
}

#[tokio::test]
async fn the_introspected_subject_is_pinned_and_so_is_its_absence() -> anyhow::Result<()> {
    for (first, second) in [
        (json!("alice"), json!("bob")),
        (json!("alice"), Value::Null),
        (Value::Null, json!("alice")),
    ] {
        let pair = Pair::start(introspection()).await?;
        let ask = pair.logged_in().await?;
        pair.remote.gives(OPAQUE, ACCESS_TOKEN);
        pair.remote
            .introspects(200, json!({"active": true, "sub": first}));
        assert_eq!(ask.send().await?.status, 200);
        pair.home.advance(LIFE_SECONDS + 1);
        assert_eq!(ask.send().await?.status, 200, "the same one");
        pair.home.advance(LIFE_SECONDS + 1);
        pair.remote
            .introspects(200, json!({"active": true, "sub": second}));
        assert_eq!(
            ask.send().await?.refusal(),
            (500, "substitution"),
            "{first} {second}"
        );
    }
    Ok(())
}
