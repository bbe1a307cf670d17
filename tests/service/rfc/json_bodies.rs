//! JSON bodies: RFC 8259. What is wrong is named by member or place, and no value is repeated: values are tokens.

use serde_json::json;

use super::{deployment, error};
use crate::deployment::AGGREGATOR;

const SECRET: &str = "s3cr3t-value";

/// A newcomer's `PUT` got "is not the JSON that this path takes" for a member that was missing.
#[tokio::test]
async fn what_is_wrong_with_a_put_is_named_and_never_its_values() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let login = deployment.log_in("s-1").await?;
    let good = json!({"issuer": deployment.dex.issuer(), "client_id": "muster", "id_token": login.id_token});
    let without = |member: &str| {
        let mut body = good.clone();
        body.as_object_mut().map(|body| body.remove(member));
        body.to_string()
    };
    let with = |member: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[member] = value;
        body.to_string()
    };
    let text = good.to_string();
    let cases = [
        (without("issuer"), "the member issuer is missing"),
        (without("client_id"), "the member client_id is missing"),
        (without("id_token"), "the member id_token is missing"),
        ("{}".to_owned(), "is missing"),
        (
            with("id_token", json!({"a": SECRET})),
            "the member id_token is not of the type",
        ),
        (
            with("refresh_token", json!([SECRET])),
            "the member refresh_token is not of the type",
        ),
        (
            with("client_id", json!(7)),
            "the member client_id is not of the type",
        ),
        (
            with(SECRET, json!(1)),
            "has a member that this path does not take",
        ),
        (
            text.replacen('{', &format!("{{\"issuer\":\"{SECRET}\","), 1),
            "the member issuer is there twice",
        ),
        (format!("\"{SECRET}\""), "is not the JSON that this path takes"),
        (format!("[\"{SECRET}\"]"), "is not the JSON that this path takes"),
        (format!("{text}{SECRET}"), "is not the JSON that this path takes"),
        (format!("{{{SECRET}"), "line 1, column"),
        (String::new(), "line 1, column 0"),
        ("\u{feff}{}".to_owned(), "line 1, column 1"),
    ];
    for (body, expected) in cases {
        let request = deployment
            .http
            .put(format!("{}/v1/sessions/s-2", deployment.urls[0]))
            .bearer_auth(AGGREGATOR)
            .header("content-type", "application/json")
            .body(body.clone());
        let answer = deployment.request(request).await?;
        assert_eq!(error(&answer), (400, "invalid_request"), "{body}");
        let said = answer.text("error_description");
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(!said.contains(SECRET) && !said.contains("eyJ"), "{said}");
    }
    let body = json!({"issuer": "x"}).to_string();
    let request = deployment
        .http
        .post(format!("{}/v1/sign-out", deployment.urls[0]))
        .bearer_auth(AGGREGATOR)
        .header("content-type", "application/json")
        .body(body);
    let answer = deployment.request(request).await?;
    assert!(
        answer
            .text("error_description")
            .contains("the member subject is missing"),
        "{answer:?}"
    );
    Ok(())
}
