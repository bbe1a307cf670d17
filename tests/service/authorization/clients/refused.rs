//! Answers that are no document, and addresses from which none is fetched. Each is refused and counted.

use serde_json::json;
use tokenward_control::authorization::client::metadata_document::document::MAX_DOCUMENT_BYTES;
use tokenward_control::authorization::refusal::AuthorizationRefusal;

use super::server::{DocumentServer, Reply, response};
use super::stage::{Names, Stage};

const JSON: &str = "content-type: application/json\r\n";

/// What `reply` gives: refused as `refusal`, counted once as `outcome`, and not tried again at once.
async fn assert_refused(
    reply: impl FnOnce(&DocumentServer) -> Reply,
    refusal: AuthorizationRefusal,
    outcome: &str,
) -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    server.reply(reply(&server));
    for _ in 0..2 {
        assert_eq!(stage.find(&server.client_id()).await, Err(refusal), "{outcome}");
    }
    assert_eq!(
        (server.requests(), stage.counted(outcome), stage.counted("paused")),
        (1, 1, 1),
        "{outcome}"
    );
    Ok(())
}

/// A valid document of exactly so many bytes.
fn padded(server: &DocumentServer, bytes: usize) -> Vec<u8> {
    let mut document = server.document().to_string().into_bytes();
    document.resize(bytes, b' ');
    document
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> anyhow::Result<()> {
    let target = DocumentServer::start().await?;
    let location = format!("location: {}\r\n", target.client_id());
    for status in [301, 302, 303, 307, 308] {
        let reply = |_: &DocumentServer| Reply::Bytes(response(status, &location, b""));
        assert_refused(reply, AuthorizationRefusal::ClientDocumentInvalid, "redirect").await?;
    }
    assert_eq!(target.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn only_status_200_is_a_document() -> anyhow::Result<()> {
    for status in [201, 203, 204, 400, 401, 403, 404, 500, 503] {
        let reply = |server: &DocumentServer| {
            let body = if status == 204 {
                Vec::new()
            } else {
                padded(server, 400)
            };
            Reply::Bytes(response(status, JSON, &body))
        };
        assert_refused(reply, AuthorizationRefusal::ClientDocumentUnavailable, "status").await?;
    }
    Ok(())
}

#[tokio::test]
async fn html_and_compressed_bodies_are_no_document() -> anyhow::Result<()> {
    let invalid = AuthorizationRefusal::ClientDocumentInvalid;
    for headers in [
        "content-type: text/html\r\n",
        "content-type: application/javascript\r\n",
        "",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
        "content-type: application/json\r\ncontent-encoding: br\r\n",
    ] {
        let reply = |server: &DocumentServer| Reply::Bytes(response(200, headers, &padded(server, 400)));
        assert_refused(reply, invalid, "not_json").await?;
    }
    let html = |_: &DocumentServer| Reply::Bytes(response(200, JSON, b"<!doctype html><title>x</title>"));
    assert_refused(html, invalid, "invalid").await
}

#[tokio::test]
async fn a_document_of_16_kib_is_read_and_one_byte_more_is_not() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let longest = padded(&server, MAX_DOCUMENT_BYTES);
    server.reply(Reply::Bytes(response(200, JSON, &longest)));
    assert!(stage.find(&server.client_id()).await.is_ok());

    let invalid = AuthorizationRefusal::ClientDocumentInvalid;
    let stated =
        |server: &DocumentServer| Reply::Bytes(response(200, JSON, &padded(server, MAX_DOCUMENT_BYTES + 1)));
    assert_refused(stated, invalid, "too_long").await?;
    let unstated = |server: &DocumentServer| {
        let head = format!("HTTP/1.1 200 OK\r\n{JSON}connection: close\r\n\r\n");
        Reply::Bytes([head.as_bytes(), &padded(server, MAX_DOCUMENT_BYTES + 1)].concat())
    };
    assert_refused(unstated, invalid, "too_long").await
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() -> anyhow::Result<()> {
    let reply = |_: &DocumentServer| {
        Reply::Stalled(
            format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 400\r\n\r\n{{\"client_id\"").into_bytes(),
        )
    };
    assert_refused(
        reply,
        AuthorizationRefusal::ClientDocumentUnavailable,
        "timed_out",
    )
    .await
}

#[tokio::test]
async fn a_document_with_a_secret_or_another_id_is_not_believed() -> anyhow::Result<()> {
    for (name, value) in [
        ("client_secret", json!("s")),
        (
            "client_id",
            json!("https://claude.ai/oauth/claude-code-client-metadata"),
        ),
        ("redirect_uris", json!(["https://evil.example/cb"])),
    ] {
        let reply = |server: &DocumentServer| {
            let mut document = server.document();
            document[name] = value.clone();
            Reply::Bytes(response(200, JSON, document.to_string().as_bytes()))
        };
        assert_refused(reply, AuthorizationRefusal::ClientDocumentInvalid, "invalid").await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_not_public_is_never_connected_to() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let names = Names::new(&[
        ("private.example", &[&["127.0.0.1"]]),
        ("mixed.example", &[&["1.1.1.1", "10.0.0.1"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("metadata.example", &[&["169.254.169.254"]]),
        ("nat64.example", &[&["64:ff9b::7f00:1"]]),
    ]);
    let stage = Stage::new(json!({"hosts": "any"}), names.clone()).await?;
    let hosts = [
        "private.example",
        "mixed.example",
        "mapped.example",
        "metadata.example",
        "nat64.example",
    ];
    for host in hosts {
        let refused = stage.find(&format!("https://{host}/client.json")).await;
        assert_eq!(
            refused,
            Err(AuthorizationRefusal::ClientDocumentRefused),
            "{host}"
        );
        assert_eq!(names.look_ups(host), 1, "{host}");
    }
    let literals = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[fd00::1]"];
    for literal in literals {
        let refused = stage.find(&format!("https://{literal}/client.json")).await;
        assert_eq!(
            refused,
            Err(AuthorizationRefusal::ClientDocumentRefused),
            "{literal}"
        );
    }
    assert_eq!(stage.counted("address"), 10);
    let port = server.address.port();
    for url in [
        format!("https://private.example:{port}/c"),
        server.client_id(),
        "https://user@private.example/c".to_owned(),
        "https://private.example/a/../c".to_owned(),
        "https://private.example/c#x".to_owned(),
        "https://private.example".to_owned(),
    ] {
        assert_eq!(
            stage.find(&url).await,
            Err(AuthorizationRefusal::ClientDocumentRefused),
            "{url}"
        );
    }
    assert_eq!(stage.counted("url"), 6);
    assert_eq!(server.requests(), 0);
    Ok(())
}

#[tokio::test]
async fn a_name_is_resolved_once_for_each_fetch_so_a_second_answer_changes_nothing() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    // The second answer, where nothing listens, would be the private address of an attack.
    let names = Names::new(&[("documents.localhost", &[&["127.0.0.1"], &["127.0.0.2"]])]);
    let local = json!({"hosts": "any", "allow_private_addresses": true});
    let stage = Stage::new(local, names.clone()).await?;
    let id = format!("http://documents.localhost:{}/client.json", server.address.port());
    let mut document = server.document();
    document["client_id"] = json!(id);
    server.serve(&document);
    assert!(stage.find(&id).await.is_ok());
    assert_eq!((names.look_ups("documents.localhost"), server.requests()), (1, 1));
    stage.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(
        stage.find(&id).await,
        Err(AuthorizationRefusal::ClientDocumentUnavailable)
    );
    assert_eq!((names.look_ups("documents.localhost"), server.requests()), (2, 1));
    assert_eq!(stage.counted("connect"), 1);
    Ok(())
}
