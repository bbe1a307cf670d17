//! RFC 6749 §5.2: an `error_description` has the characters %x20-21, %x23-5B and %x5D-7E, and no other.

use tokenward_protocol::error_text::is_allowed;

use super::{asked, asking, deployment};
use crate::deployment::{AGGREGATOR, Answer};

fn assert_characters(answer: &Answer, what: &str) {
    let text = answer.text("error_description");
    assert!(!text.is_empty() && text.chars().all(is_allowed), "{what}: {text}");
    if let Some(challenge) = answer.header("www-authenticate") {
        // Quotes only around values, and no escapes (RFC 9110 §5.6.4).
        assert!(
            challenge.matches('"').count() % 2 == 0 && !challenge.contains('\\'),
            "{challenge}"
        );
    }
}

#[tokio::test]
async fn no_description_has_a_quote_a_backslash_or_anything_but_ascii() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    let odd = "\"\\ü\u{7f}";
    let http = &deployment.http;
    let url = |path: &str| format!("{}{path}", deployment.urls[0]);
    for form in [
        asking(&token, &[("audience", "a\"b\\c\u{fc}")]),
        asking("a\"b", &[("audience", "kube")]),
        asking(&token, &[("audience", "kube"), ("reason", "\u{fc}\"")]),
        asking(&token, &[("audience", "kube"), ("session", "\"\\\u{fc}")]),
        format!("grant_type={odd}"),
    ] {
        assert_characters(&asked(&deployment, &form).await?, &form);
    }
    let requests = [
        http.post(url("/oauth2/token")),
        http.put(url("/v1/sessions/x")),
        http.put(url("/v1/sessions/x"))
            .bearer_auth(AGGREGATOR)
            .json(&serde_json::json!({"issuer": "\"\\\u{fc}", "client_id": "x", "id_token": "a.b.c"})),
        http.get(url("/v1/explain?server=%22%5C%C3%BC"))
            .bearer_auth(AGGREGATOR)
            .header("x-tokenward-session", "s-1"),
        http.get(url("/v1/sessions/%22%5C%C3%BC")).bearer_auth(AGGREGATOR),
        http.get(url("/v1/sessions/%FF")).bearer_auth(AGGREGATOR),
        http.get(url("/nowhere")),
        http.delete(url("/livez")),
        http.get(url("/filter/tokenward.wasm")),
        http.get(url("/.well-known/oauth-protected-resource/x")),
        http.post(url("/v1/backchannel-logout"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("logout_token=%22%5C"),
    ];
    let mut refused = 0;
    for request in requests {
        let answer = deployment.request(request).await?;
        assert!(answer.status >= 400, "{answer:?}");
        assert_characters(&answer, "a request");
        refused += 1;
    }
    assert_eq!(refused, 11);
    Ok(())
}
