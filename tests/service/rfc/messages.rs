//! HTTP messages: RFC 9110, RFC 9112, RFC 9113.

use http::Request;
use tokio::net::TcpStream;

use super::{deployment, raw};
use crate::deployment::Deployment;

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

/// RFC 9112 §3.2: a request of HTTP/1.1 without a Host, with more than one, or with an invalid one is answered 400.
#[tokio::test]
async fn a_request_names_its_host_once() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let cases = [
        ("200", "host: control"),
        ("200", "Host: control:8080"),
        ("200", "host: [::1]:8080"),
        ("200", "host:   127.0.0.1  "),
        ("200", "host: control:"),
        ("400", "x: y"),
        ("400", "host:"),
        ("400", "host: control\r\nhost: control"),
        ("400", "host: control\r\nHost: other"),
        ("400", "host: control, other"),
        ("400", "host: user@control"),
        ("400", "host: control:http"),
        ("400", "host: control:99999"),
        ("400", "host: control/path"),
        ("400", "host: http://control"),
        ("400", "host: con trol"),
        ("400", "host: :8080"),
    ];
    for path in ["/livez", "/openapi.json", "/.well-known/oauth-protected-resource"] {
        for (expected, host) in cases {
            let request = format!("GET {path} HTTP/1.1\r\n{host}\r\n\r\n");
            let answer = raw(&deployment, request.as_bytes()).await?;
            let expected = match (expected, path) {
                ("200", "/.well-known/oauth-protected-resource") => "404",
                (expected, _) => expected,
            };
            assert_eq!(status(&answer), expected, "{request}{answer}");
            if expected == "400" {
                assert!(answer.contains("\"invalid_request\""), "{answer}");
            }
        }
    }
    Ok(())
}

/// RFC 9112 §3.2.2: the host of an absolute target counts, whatever the Host header field is; it must be there all the same.
#[tokio::test]
async fn an_absolute_target_is_accepted_and_its_host_counts() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let document = "/.well-known/oauth-protected-resource/kubernetes/mcp";
    let cases = [
        (
            "200",
            format!("GET http://mcp.example.com{document} HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n"),
        ),
        (
            "200",
            format!("GET http://mcp.example.com{document} HTTP/1.1\r\nhost: elsewhere\r\n\r\n"),
        ),
        (
            "404",
            format!("GET http://elsewhere{document} HTTP/1.1\r\nhost: mcp.example.com\r\n\r\n"),
        ),
        (
            "400",
            format!("GET http://mcp.example.com{document} HTTP/1.1\r\n\r\n"),
        ),
        (
            "400",
            "GET http://user@mcp.example.com/livez HTTP/1.1\r\nhost: control\r\n\r\n".to_owned(),
        ),
    ];
    for (expected, request) in cases {
        let answer = raw(&deployment, request.as_bytes()).await?;
        assert_eq!(status(&answer), expected, "{request}{answer}");
    }
    Ok(())
}

/// RFC 9112 §3.2 requires it of HTTP/1.1 only: old health checks have none.
#[tokio::test]
async fn http_1_0_needs_no_host() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    for (expected, request) in [
        ("200", "GET /livez HTTP/1.0\r\n\r\n"),
        ("400", "GET /livez HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n"),
    ] {
        let answer = raw(&deployment, request.as_bytes()).await?;
        assert_eq!(status(&answer), expected, "{request}");
    }
    Ok(())
}

async fn over_http_2(deployment: &Deployment, request: Request<()>) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(deployment.urls[0].trim_start_matches("http://")).await?;
    let (requests, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let (answer, _) = requests.ready().await?.send_request(request, true)?;
    let status = answer.await?.status().as_u16();
    driver.abort();
    Ok(status)
}

/// RFC 9113 §8.3.1: a Host header field that differs from `:authority` makes a request malformed.
#[tokio::test]
async fn over_http_2_host_and_authority_are_the_same() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let request = |uri: &str, hosts: &[&str]| -> anyhow::Result<Request<()>> {
        let mut request = Request::get(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        Ok(request.body(())?)
    };
    let cases = [
        (200, "http://control/livez", &[] as &[&str]),
        (200, "http://control/livez", &["control"]),
        (200, "http://control/livez", &["Control"]),
        (400, "http://control/livez", &["elsewhere"]),
        (400, "http://control/livez", &["control:81"]),
        (400, "http://control/livez", &["control", "control"]),
        (400, "http://user@control/livez", &[]),
    ];
    for (expected, uri, hosts) in cases {
        let status = over_http_2(&deployment, request(uri, hosts)?).await?;
        assert_eq!(status, expected, "{uri} {hosts:?}");
    }
    Ok(())
}

/// RFC 9110 §15.5.6: 405 names the methods in Allow; §9.3.2: HEAD is GET without the body.
#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    let cases = [
        ("GET", "/oauth2/token", "405", "POST"),
        ("OPTIONS", "/oauth2/token", "405", "POST"),
        ("HEAD", "/v1/sign-out", "405", "POST"),
        ("PATCH", "/v1/sessions/x", "405", "PUT,GET,HEAD,DELETE"),
        ("POST", "/livez", "405", "GET,HEAD"),
        ("TRACE", "/metrics", "405", "GET,HEAD"),
        (
            "DELETE",
            "/.well-known/oauth-protected-resource",
            "405",
            "GET,HEAD,OPTIONS",
        ),
        ("BREW", "/openapi.json", "405", "GET,HEAD"),
    ];
    for (method, path, expected, allow) in cases {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: control\r\ncontent-length: 0\r\n\r\n");
        let answer = raw(&deployment, request.as_bytes()).await?;
        assert_eq!(status(&answer), expected, "{request}{answer}");
        assert!(
            answer.contains(&format!("\r\nallow: {allow}\r\n")),
            "{method} {path}: {answer}"
        );
    }
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        let request = |method| format!("{method} {path} HTTP/1.1\r\nhost: control\r\n\r\n");
        let get = raw(&deployment, request("GET").as_bytes()).await?;
        let head = raw(&deployment, request("HEAD").as_bytes()).await?;
        assert_eq!(status(&head), "200", "{path}");
        assert!(head.ends_with("\r\n\r\n"), "{path}: {head}");
        let content_type = |answer: &str| {
            let line = answer.lines().find(|line| line.starts_with("content-type:"));
            line.map(str::to_owned)
        };
        assert_eq!(content_type(&get), content_type(&head), "{path}");
    }
    Ok(())
}

/// RFC 9112 §6.1 and §6.3: two lengths, or a length and chunks, are how requests are smuggled.
#[tokio::test]
async fn a_body_has_one_length() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    for framing in [
        "content-length: 3\r\ncontent-length: 4",
        "content-length: 3, 4",
        "content-length: -1",
        "content-length: +3",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: gzip",
    ] {
        let request = format!(
            "POST /v1/backchannel-logout HTTP/1.1\r\nhost: control\r\n\
             content-type: application/x-www-form-urlencoded\r\n{framing}\r\n\r\nx=y\r\n\r\n"
        );
        let answer = raw(&deployment, request.as_bytes()).await?;
        assert_eq!(status(&answer), "400", "{framing}: {answer}");
    }
    Ok(())
}
