//! How a client authenticates at the token endpoint: RFC 6749 §2.3 and §5.2.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};

use super::{asking, deployment, error};
use crate::deployment::{Answer, Deployment, FILTER, basic};

async fn posted(deployment: &Deployment, credentials: &[String], form: String) -> anyhow::Result<Answer> {
    let mut request = deployment
        .http
        .post(format!("{}/oauth2/token", deployment.urls[0]))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form);
    for credential in credentials {
        request = request.header(AUTHORIZATION, credential);
    }
    deployment.request(request).await
}

/// RFC 6749 §2.3.1: the credential in the form (`client_secret_post`), which openid-client sends by default.
#[tokio::test]
async fn the_credential_may_come_in_the_form() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    let with = |id: &str, secret: &str| {
        asking(
            &token,
            &[("audience", "kube"), ("client_id", id), ("client_secret", secret)],
        )
    };
    assert_eq!(
        posted(&deployment, &[], with("filter", FILTER)).await?.status,
        200
    );
    for (id, secret) in [
        ("filter", "wrong"),
        ("filter", ""),
        ("filter", crate::deployment::AGGREGATOR),
        ("aggregator", FILTER),
        ("", FILTER),
        ("", ""),
    ] {
        let answer = posted(&deployment, &[], with(id, secret)).await?;
        assert_eq!(error(&answer), (401, "invalid_client"), "{id}");
        assert_eq!(answer.text("refusal"), "caller_rejected");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Basic realm=\"tokenward\"")
        );
    }
    Ok(())
}

/// RFC 6749 §2.3: no more than one method in each request; §5.2: `invalid_request`.
#[tokio::test]
async fn two_methods_at_once_are_an_invalid_request_even_where_both_are_right() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    let form = asking(&token, &[("audience", "kube")]);
    let in_form = asking(
        &token,
        &[
            ("audience", "kube"),
            ("client_id", "filter"),
            ("client_secret", FILTER),
        ],
    );
    let header = basic("filter", FILTER);
    let bearer = format!("Bearer {FILTER}");
    for header in [&header, &bearer] {
        let answer = posted(&deployment, std::slice::from_ref(header), in_form.clone()).await?;
        assert_eq!(error(&answer), (400, "invalid_request"));
    }
    let answer = posted(&deployment, &[header.clone(), bearer.clone()], form.clone()).await?;
    assert_eq!(
        error(&answer),
        (400, "invalid_request"),
        "two Authorization headers"
    );
    let assertion = format!(
        "{form}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c"
    );
    let answer = posted(&deployment, std::slice::from_ref(&header), assertion.clone()).await?;
    assert_eq!(error(&answer), (400, "invalid_request"), "RFC 7521 §4.2");
    let answer = posted(&deployment, &[], assertion).await?;
    assert_eq!(
        error(&answer),
        (401, "invalid_client"),
        "a method that is not accepted"
    );
    // A wrong header is refused before anything is read, and does not fall back to the form.
    let answer = posted(&deployment, &[basic("filter", "wrong")], in_form).await?;
    assert_eq!(error(&answer), (401, "invalid_client"));
    Ok(())
}

/// RFC 6749 §3.2.1: a client may name itself beside another method.
#[tokio::test]
async fn a_client_id_beside_the_header_must_be_the_same() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    let form = |id: &str| asking(&token, &[("audience", "kube"), ("client_id", id)]);
    let header = [basic("filter", FILTER)];
    assert_eq!(posted(&deployment, &header, form("filter")).await?.status, 200);
    let answer = posted(&deployment, &header, form("other")).await?;
    assert_eq!(error(&answer), (400, "invalid_request"));
    Ok(())
}

/// Where the header must show the credential, and does not, the body is not waited for.
#[tokio::test]
async fn nothing_is_read_of_a_caller_that_has_not_shown_its_credential() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    for (method, path, content_type, authorization) in [
        (
            "POST",
            "/oauth2/token",
            "application/x-www-form-urlencoded",
            "authorization: Bearer wrong\r\n",
        ),
        ("POST", "/oauth2/token", "application/json", ""),
        ("PUT", "/v1/sessions/s-1", "application/json", ""),
        (
            "POST",
            "/v1/sign-out",
            "application/json",
            "authorization: Basic eDp5\r\n",
        ),
    ] {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: control\r\n{authorization}content-type: {content_type}\r\n\
             content-length: 50000\r\n\r\n"
        );
        let answer = super::raw(&deployment, head.as_bytes()).await?;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{method} {path}: {answer}");
    }
    Ok(())
}
