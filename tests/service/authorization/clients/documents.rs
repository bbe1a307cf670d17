//! A document that is fetched well: once while it is fresh, by one request for all callers, and its last copy while its host is
//! away.

use std::time::Duration;

use serde_json::json;
use tokenward_control::authorization::client::ClientKind;
use tokenward_control::authorization::refusal::AuthorizationRefusal;

use super::server::{DocumentServer, Reply, response};
use super::stage::{Names, Stage, source};
use crate::deployment::at_once;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_document_is_fetched_once_for_all_callers_while_it_is_fresh() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let id = server.client_id();
    let found = at_once((0..20).map(|_| stage.find(&id))).await;
    for client in found {
        let client = client.expect("found");
        assert_eq!(
            (client.id.as_str(), client.name.as_str()),
            (id.as_str(), "A client")
        );
        assert_eq!(client.kind, ClientKind::MetadataDocument);
        assert_eq!(client.host_shown(), Some(server.address.to_string().as_str()));
    }
    assert_eq!(server.requests(), 1);
    stage.clock.advance(MINUTE - Duration::from_millis(1));
    stage.find(&id).await.expect("cached");
    assert_eq!(server.requests(), 1);
    stage.clock.advance(Duration::from_millis(1));
    stage.find(&id).await.expect("fetched");
    assert_eq!(server.requests(), 2);
    assert_eq!(stage.counted("fetched") + stage.counted("cached"), 22);
    Ok(())
}

#[tokio::test]
async fn a_changed_document_counts_when_the_old_one_is_no_longer_fresh() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let before = stage.find(&server.client_id()).await.expect("found");
    let mut document = server.document();
    document["redirect_uris"] = json!(["http://localhost/other"]);
    server.serve(&document);
    stage.clock.advance(MINUTE);
    let after = stage.find(&server.client_id()).await.expect("found");
    assert_eq!(after.redirect_uris, ["http://localhost/other"]);
    assert_ne!(before.consent_digest(), after.consent_digest());
    Ok(())
}

#[tokio::test]
async fn the_last_valid_copy_of_a_listed_host_is_used_while_the_host_is_away() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let id = server.client_id();
    stage.find(&id).await.expect("found");
    stage.clock.advance(MINUTE);
    server.reply(Reply::Bytes(response(503, "", b"")));
    for _ in 0..3 {
        stage.find(&id).await.expect("the last copy");
    }
    // Twice of the three times the URL was not even tried.
    assert_eq!((server.requests(), stage.counted("last_valid")), (2, 3));

    // What it states now counts: it is no client any more.
    stage.clock.advance(MINUTE);
    server.serve(&json!({"client_id": "https://evil.example/c"}));
    assert_eq!(
        stage.find(&id).await,
        Err(AuthorizationRefusal::ClientDocumentInvalid)
    );

    stage.clock.advance(Duration::from_secs(8 * 24 * 3600));
    server.reply(Reply::Bytes(response(503, "", b"")));
    assert_eq!(
        stage.find(&id).await,
        Err(AuthorizationRefusal::ClientDocumentUnavailable)
    );
    Ok(())
}

#[tokio::test]
async fn a_host_that_any_caller_chose_has_no_last_copy() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let any = json!({"hosts": "any", "allow_private_addresses": true});
    let stage = Stage::new(any, Names::new(&[])).await?;
    stage.find(&server.client_id()).await.expect("found");
    stage.clock.advance(MINUTE);
    server.reply(Reply::Bytes(response(404, "", b"")));
    let refused = stage.find(&server.client_id()).await;
    assert_eq!(refused, Err(AuthorizationRefusal::ClientDocumentUnavailable));
    Ok(())
}

#[tokio::test]
async fn a_failure_is_tried_again_after_half_a_minute_and_is_never_cached() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let id = server.client_id();
    server.reply(Reply::Bytes(response(500, "", b"")));
    for _ in 0..10 {
        assert_eq!(
            stage.find(&id).await,
            Err(AuthorizationRefusal::ClientDocumentUnavailable)
        );
    }
    assert_eq!(
        (
            server.requests(),
            stage.counted("status"),
            stage.counted("paused")
        ),
        (1, 1, 9)
    );
    server.serve(&server.document());
    stage.clock.advance(Duration::from_secs(30));
    stage.find(&id).await.expect("found");
    assert_eq!(server.requests(), 2);
    Ok(())
}

#[tokio::test]
async fn one_source_cannot_have_control_fetch_without_end() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    let mut refused = 0;
    for number in 0..50 {
        let found = stage.find(&server.url(&format!("/{number}"))).await;
        match found.expect_err("another document is there") {
            AuthorizationRefusal::TooMany => refused += 1,
            other => assert_eq!(other, AuthorizationRefusal::ClientDocumentInvalid),
        }
    }
    assert_eq!((server.requests(), refused), (20, 30));
    assert_eq!(stage.counted("source_limited"), 30);
    let other = stage.clients.find(&server.client_id(), source(2)).await;
    assert_eq!(other?.name, "A client");
    Ok(())
}

#[tokio::test]
async fn a_reload_forgets_neither_a_document_nor_a_used_up_allowance() -> anyhow::Result<()> {
    let server = DocumentServer::start().await?;
    let stage = Stage::local().await?;
    stage.find(&server.client_id()).await.expect("found");
    for number in 0..30 {
        let _ = stage.find(&server.url(&format!("/{number}"))).await;
    }
    assert_eq!(server.requests(), 20);
    let reloaded = stage.reloaded()?;
    let cached = reloaded.find(&server.client_id(), source(1)).await?;
    assert_eq!(cached.name, "A client");
    let limited = reloaded.find(&server.url("/new"), source(1)).await;
    assert!(limited.is_err());
    assert_eq!(server.requests(), 20);
    Ok(())
}
