//! `GET /v1/explain` for a user without a login: what happens to a fresh and to a stale token, and what would change that.

use serde_json::{Value, json};
use tokenward_harness::issuer::{Endpoint, Failure};

use crate::deployment::{ADMIN, AGGREGATOR, Answer, Deployment};
use crate::exchange::{Pair, pair};

async fn asked(home: &Deployment, headers: &[(&str, &str)], server: &str) -> anyhow::Result<Answer> {
    let url = format!("{}/v1/explain?server={server}", home.urls[0]);
    let mut request = home.http.get(url).bearer_auth(AGGREGATOR);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    home.request(request).await
}

async fn explained(home: &Deployment, server: &str) -> anyhow::Result<Value> {
    let subject = home.dex.subject(ADMIN);
    let answer = asked(home, &[("x-tokenward-subject", &subject)], server).await?;
    anyhow::ensure!(answer.status == 200, "{answer:?}");
    Ok(answer.body)
}

fn next(explanation: &Value) -> (&Value, &Value, &Value) {
    (
        &explanation["registered"],
        &explanation["next_if_fresh"],
        &explanation["refusal"],
    )
}

#[tokio::test]
async fn an_unregistered_user_is_explained_with_what_would_change_that() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let forward = explained(&home, "kubernetes").await?;
    assert_eq!(
        next(&forward),
        (&json!(false), &json!("forward"), &json!("token_expired"))
    );
    assert_eq!(
        (&forward["session"], &forward["grant"]),
        (&Value::Null, &Value::Null)
    );
    let what_next = forward["what_next"].as_str().unwrap_or_default();
    for words in ["Not registered", "forwarded as it is", "PUT", "issuers[].relay"] {
        assert!(what_next.contains(words), "{words}: {what_next}");
    }
    let before = explained(&home, "remote").await?;
    assert_eq!(next(&before).1, &json!("exchange"));
    assert_eq!(before["exchange"]["token"], Value::Null);

    let token = home.dex.log_in(ADMIN, "muster").await?.id_token;
    assert_eq!(home.ask(&token).server("remote").send().await?.status, 200);
    let stored = explained(&home, "remote").await?;
    assert_eq!(
        next(&stored),
        (&json!(false), &json!("serve"), &json!("token_expired"))
    );
    assert_eq!(stored["exchange"]["token"]["freshness"], "fresh");

    home.advance(301);
    let token = home.dex.log_in(ADMIN, "muster").await?.id_token;
    remote.fail_next(Endpoint::Exchange, 1, &Failure::answer(503, "{}"));
    assert_eq!(home.ask(&token).server("remote").send().await?.status, 503);
    let failed = explained(&home, "remote").await?;
    assert_eq!(next(&failed).1, &json!("refuse"));
    assert_eq!(failed["exchange"]["failures"]["count"], 1);

    home.log_in("s-1").await?;
    let registered = explained(&home, "kubernetes").await?;
    assert_eq!(next(&registered), (&json!(true), &Value::Null, &Value::Null));
    assert_eq!(registered["next"], "serve");
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    let signed_out = explained(&home, "remote").await?;
    assert_eq!(
        next(&signed_out),
        (&json!(false), &json!("exchange"), &json!("token_expired"))
    );
    assert_eq!(remote.counts().exchanges_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_request_names_a_session_or_a_user_and_never_in_the_address() -> anyhow::Result<()> {
    let Pair { remote, home } = pair(1, |_| {}).await?;
    let issuer = home.dex.issuer().to_owned();
    let (session, subject) = (("x-tokenward-session", "s-1"), ("x-tokenward-subject", "someone"));
    let good = [subject, ("x-tokenward-issuer", &issuer)];
    assert_eq!(asked(&home, &good, "remote").await?.status, 200);
    let bad: [&[(&str, &str)]; 6] = [
        &[],
        &[session, subject],
        &[session, ("x-tokenward-issuer", &issuer)],
        &[("x-tokenward-issuer", &issuer)],
        &[subject, subject],
        &[subject, ("x-tokenward-issuer", remote.issuer())],
    ];
    for headers in bad {
        let answer = asked(&home, headers, "remote").await?;
        assert_eq!(answer.refusal(), (400, "bad_request"), "{headers:?}: {answer:?}");
    }
    Ok(())
}
