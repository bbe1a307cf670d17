//! Forms: RFC 6749 §3.2 and Appendix B, RFC 9110 §8.3 and §8.4 for what they come as.

use super::{asking, deployment, error};
use crate::deployment::{FILTER, basic};

/// RFC 6749 Appendix A and B: percent-encoded UTF-8 of visible characters. What one reader repairs another one refuses.
#[tokio::test]
async fn a_form_that_readers_would_read_differently_is_an_invalid_request() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    let good = asking(&token, &[("audience", "kube")]);
    for more in [
        "session=%",
        "session=%4",
        "session=%zz",
        "session=%+1",
        "session=a%00b",
        "session=a%0Ab",
        "session=%FF",
        "session=%C0%AF",
        "session=%ED%A0%80",
        "unknown=%zz",
        "unk%nown=x",
        "%00=x",
    ] {
        let answer = super::asked(&deployment, &format!("{good}&{more}")).await?;
        assert_eq!(error(&answer), (400, "invalid_request"), "{more}");
        assert_eq!(answer.text("refusal"), "bad_request", "{more}");
    }
    let many: String = (0..100).map(|number| format!("&x{number}=y")).collect();
    let answer = super::asked(&deployment, &format!("{good}{many}")).await?;
    assert_eq!(error(&answer), (400, "invalid_request"));
    let harmless = format!("&&{good}&&x=%C3%BC&y");
    assert_eq!(super::asked(&deployment, &harmless).await?.status, 200);
    // The logout token's form is read by the same rules.
    for body in [
        "logout_token=%zz",
        "logout_token=a&logout_token=b",
        "logout_token=",
        "",
    ] {
        let request = deployment
            .http
            .post(format!("{}/v1/backchannel-logout", deployment.urls[0]))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        assert_eq!(
            error(&deployment.request(request).await?),
            (400, "invalid_request"),
            "{body}"
        );
    }
    Ok(())
}

/// RFC 9110 §8.3.1: parameters of a media type; §8.4: content codings; §15.5.16: 415.
#[tokio::test]
async fn a_body_is_read_by_its_content_type_or_not_at_all() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    let good = asking(&token, &[("audience", "kube")]);
    let types = [
        (200, "application/x-www-form-urlencoded"),
        (200, "Application/X-WWW-Form-Urlencoded"),
        (200, "application/x-www-form-urlencoded; charset=UTF-8"),
        (200, "application/x-www-form-urlencoded;charset=\"utf-8\""),
        (200, "application/x-www-form-urlencoded; q=1"),
        (415, "application/x-www-form-urlencoded; charset=iso-8859-1"),
        (415, "application/x-www-form-urlencoded; charset=utf-16"),
        (415, "application/x-www-form-urlencodedx"),
        (415, "multipart/form-data; boundary=x"),
        (415, "text/plain"),
        (415, "application/json"),
        (415, ""),
    ];
    let request = |content_type: &str| {
        deployment
            .http
            .post(format!("{}/oauth2/token", deployment.urls[0]))
            .header("authorization", basic("filter", FILTER))
            .header("content-type", content_type)
            .body(good.clone())
    };
    for (status, content_type) in types {
        let answer = deployment.request(request(content_type)).await?;
        assert_eq!(answer.status, status, "{content_type}: {answer:?}");
    }
    let twice = request(types[0].1).header("content-type", types[0].1);
    assert_eq!(deployment.request(twice).await?.status, 415);
    let compressed = request(types[0].1).header("content-encoding", "gzip");
    assert_eq!(deployment.request(compressed).await?.status, 415);
    Ok(())
}
