//! What is not a configured client's refresh or login reaches the issuer as it is, and its answer the client.

use serde_json::json;

use super::raw::{Play, RawIssuer, answer, connect, send};
use crate::deployment::{Deployment, Plan, basic};

/// A deployment whose relay passes to a [`RawIssuer`] that plays `bytes`.
pub(super) async fn before(bytes: Vec<u8>) -> anyhow::Result<(Deployment, RawIssuer)> {
    let issuer = RawIssuer::start(Play::Bytes(bytes)).await?;
    let plan = Plan {
        relay: Some(json!({})),
        own_endpoint: Some(issuer.endpoint()),
        ..Plan::default()
    };
    Ok((Deployment::start(plan).await?, issuer))
}

/// An answer that no library would choose.
pub(super) fn odd_answer() -> Vec<u8> {
    answer(
        "418 I Am A Teapot",
        &[
            "x-b: 2",
            "set-cookie: a=1",
            "content-type: text/odd",
            "set-cookie: b=2",
            "connection: close, x-hop",
            "x-hop: 1",
            "x-a: \u{e4}",
            "date: Sun, 06 Nov 1994 08:49:37 GMT",
        ],
        b"\x00\xff not JSON",
    )
}

/// Header fields of an answer that control adds.
const ADDED: [&str; 1] = ["x-tokenward-control"];

/// A request of these lines and this body, with a length if it has a body.
fn request(lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = lines.join("\r\n");
    if !body.is_empty() {
        head.push_str(&format!("\r\ncontent-length: {}", body.len()));
    }
    [head.as_bytes(), b"\r\n\r\n", body].concat()
}

#[tokio::test]
async fn a_request_and_its_answer_pass_byte_for_byte() -> anyhow::Result<()> {
    let (deployment, issuer) = before(odd_answer()).await?;
    let body = b"grant_type=urn%3Aodd&x=1&x=2&%zz";
    let lines = [
        "POST /token?audience=a%20b HTTP/1.1",
        "x-forwarded-for: 192.0.2.1",
        "host: login.example.com:443",
        "content-type: text/plain; charset=latin1",
        "authorization: Basic bm9ib2R5Om5vdGhpbmc=",
        "x-twice: 1",
        "accept-encoding: gzip, zstd",
        "connection: keep-alive, x-this-hop",
        "x-this-hop: 1",
        "x-twice: 2",
        "dpop: e30.e30.e30",
        "te: trailers",
    ];
    let answered = send(&deployment.urls[0], &request(&lines, body)).await?;
    let passed = issuer.last();
    assert_eq!(passed.start, "POST /own/token?audience=a%20b HTTP/1.1");
    let marker = passed.values("x-tokenward-relay");
    assert_eq!(marker.len(), 1);
    assert_eq!(
        passed.headers_without(&["x-tokenward-relay"]),
        [
            "x-forwarded-for: 192.0.2.1",
            "host: login.example.com:443",
            "content-type: text/plain; charset=latin1",
            "authorization: Basic bm9ib2R5Om5vdGhpbmc=",
            "x-twice: 1",
            "x-twice: 2",
            "accept-encoding: gzip, zstd",
            "dpop: e30.e30.e30",
            "content-length: 32",
        ]
    );
    assert_eq!(passed.body, body);

    assert_eq!(answered.start, "HTTP/1.1 418 I Am A Teapot");
    assert_eq!(answered.values("x-tokenward-control"), ["relay"]);
    assert_eq!(
        answered.headers_without(&ADDED),
        [
            "x-b: 2",
            "set-cookie: a=1",
            "set-cookie: b=2",
            "content-type: text/odd",
            "x-a: \u{e4}",
            "date: Sun, 06 Nov 1994 08:49:37 GMT",
            "content-length: 11",
        ]
    );
    assert_eq!(answered.body, b"\x00\xff not JSON");
    assert_eq!(issuer.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_control_sends_itself_has_the_same_mark_as_what_it_passes() -> anyhow::Result<()> {
    let refused = answer("400 Bad Request", &[], br#"{"error":"temporarily_unavailable"}"#);
    let (deployment, issuer) = before(refused).await?;
    deployment.relayed(0, &[("a", "b")]).send().await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(301);
    deployment.ask(&login.id_token).session("s-1").send().await?;
    let marks: Vec<Vec<String>> = issuer
        .requests()
        .iter()
        .map(|request| {
            request
                .values("x-tokenward-relay")
                .iter()
                .map(|mark| (*mark).to_owned())
                .collect()
        })
        .collect();
    assert_eq!(marks.len(), 2);
    assert_eq!(marks[0].len(), 1);
    assert_eq!(marks[0], marks[1]);
    Ok(())
}

#[tokio::test]
async fn every_method_passes_and_no_header_is_added() -> anyhow::Result<()> {
    let (deployment, issuer) = before(answer("204 No Content", &["allow: POST"], b"")).await?;
    for method in ["OPTIONS", "GET", "HEAD", "DELETE", "PATCH"] {
        let start = format!("{method} /token HTTP/1.1");
        let lines = [
            start.as_str(),
            "host: LOGIN.example.com",
            "origin: https://app.example.com",
        ];
        let answered = send(&deployment.urls[0], &request(&lines, b"")).await?;
        assert_eq!(answered.start, "HTTP/1.1 204 No Content", "{method}");
        assert_eq!(answered.values("allow"), ["POST"]);
        let passed = issuer.last();
        assert_eq!(passed.start, format!("{method} /own/token HTTP/1.1"));
        assert_eq!(
            passed.headers_without(&["x-tokenward-relay"]),
            ["host: LOGIN.example.com", "origin: https://app.example.com"],
            "{method}"
        );
    }
    let with_body = request(&["DELETE /token HTTP/1.1", "host: login.example.com"], b"body");
    send(&deployment.urls[0], &with_body).await?;
    assert_eq!(issuer.last().body, b"body");
    assert_eq!(issuer.requests().len(), 6);
    Ok(())
}

#[tokio::test]
async fn other_hosts_and_paths_are_not_the_relays() -> anyhow::Result<()> {
    let (deployment, issuer) = before(odd_answer()).await?;
    for (path, host) in [
        ("/token", "control.example.com"),
        ("/token", "login.example.com:8443"),
        ("/token/", "login.example.com"),
        ("/token/introspect", "login.example.com"),
        ("/device/token", "login.example.com"),
        ("//token", "login.example.com"),
        ("/%74oken", "login.example.com"),
        ("/livez", "login.example.com"),
    ] {
        let lines = [format!("GET {path} HTTP/1.1"), format!("host: {host}")];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answered = send(&deployment.urls[0], &request(&lines, b"")).await?;
        let expected = if path == "/livez" {
            "200 OK"
        } else {
            "404 Not Found"
        };
        assert_eq!(answered.start, format!("HTTP/1.1 {expected}"), "{host}{path}");
    }
    assert_eq!(issuer.requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_body_of_any_size_passes_with_a_length_and_in_chunks() -> anyhow::Result<()> {
    let (deployment, issuer) = before(answer("200 OK", &[], b"{}")).await?;
    let head = [
        "POST /token HTTP/1.1",
        "host: login.example.com",
        "content-type: application/x-www-form-urlencoded",
    ];
    let authorization = format!("authorization: {}", basic("muster", "s3cret"));
    for size in [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 1024 * 1024] {
        let body: Vec<u8> = (0..size).map(|at| b"abcdefghij"[at % 10]).collect();
        for authorized in [false, true] {
            let mut lines = head.to_vec();
            if authorized {
                lines.push(&authorization);
            }
            let answered = send(&deployment.urls[0], &request(&lines, &body)).await?;
            assert_eq!(
                (answered.start.as_str(), answered.body.as_slice()),
                ("HTTP/1.1 200 OK", &b"{}"[..])
            );
            assert!(issuer.last().body == body, "{size} bytes with a length");
            lines.push("transfer-encoding: chunked");
            let mut chunked = [lines.join("\r\n").as_bytes(), b"\r\n\r\n"].concat();
            for chunk in body.chunks(10_000) {
                chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                chunked.extend_from_slice(chunk);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            let answered = send(&deployment.urls[0], &chunked).await?;
            assert_eq!(answered.start, "HTTP/1.1 200 OK");
            assert!(issuer.last().body == body, "{size} bytes in chunks");
        }
    }
    assert_eq!(issuer.requests().len(), 24);
    Ok(())
}

#[tokio::test]
async fn a_large_answer_passes_whole_and_in_chunks() -> anyhow::Result<()> {
    const BYTES: usize = 8 * 1024 * 1024;
    let body: Vec<u8> = (0..BYTES).map(|at| b"0123456789"[at % 10]).collect();
    let (deployment, issuer) = before(answer("200 OK", &[], &body)).await?;
    let passed = request(&["POST /token HTTP/1.1", "host: login.example.com"], b"");
    let answered = send(&deployment.urls[0], &passed).await?;
    assert!(answered.body == body);
    assert_eq!(answered.values("content-length"), [BYTES.to_string()]);

    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(100_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    issuer.play(Play::Bytes(chunked));
    let answered = send(&deployment.urls[0], &passed).await?;
    assert!(answered.body == body);

    // A login of the configured client is read to be learned; one that is too large for that passes all the same.
    let login = deployment.relayed_login(0, "admin@example.com").send().await?;
    assert_eq!(login.status, 200);
    assert!(login.body == body);
    assert_eq!(issuer.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn over_http_2_the_authority_is_the_issuers_host() -> anyhow::Result<()> {
    let (deployment, issuer) = before(odd_answer()).await?;
    let (client, connection) = h2::client::handshake(connect(&deployment.urls[0]).await?).await?;
    let driving = tokio::spawn(connection);
    let request = http::Request::post("https://login.example.com/token")
        .header("connection-like", "1")
        .body(())?;
    let (answered, mut sending) = client.ready().await?.send_request(request, false)?;
    sending.send_data("a=b".into(), true)?;
    let answered = answered.await?;
    assert_eq!(answered.status(), 418);
    let cookies = answered.headers().get_all("set-cookie").iter();
    assert_eq!(cookies.collect::<Vec<_>>(), ["a=1", "b=2"]);
    let mut body = answered.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        bytes.extend_from_slice(&data?);
    }
    assert_eq!(bytes, b"\x00\xff not JSON");
    let passed = issuer.last();
    assert_eq!(
        passed.headers_without(&["x-tokenward-relay", "content-length", "transfer-encoding"]),
        ["host: login.example.com", "connection-like: 1"]
    );
    assert_eq!(passed.body, b"a=b");
    driving.abort();
    Ok(())
}
