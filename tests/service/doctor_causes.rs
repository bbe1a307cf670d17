//! The doctor distinguishes why an issuer does not answer: each cause has one cure of its own.

use std::net::Ipv4Addr;

use serde_json::json;
use tokenward_control::doctor::{Check, CheckOutcome, Report, examine};
use tokenward_harness::issuer::{DexConfig, FakeDex};
use tokenward_harness::parts::ports;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::deployment::{Deployment, Plan};

/// The check of the key set, when it is looked for at `jwks_uri`.
async fn keys_at(deployment: &Deployment, jwks_uri: &str) -> anyhow::Result<Check> {
    let config = deployment.changed(|document| {
        document["store"] = json!({"embedded": {"path": "@other.redb"}});
        document["issuer_timeout"] = json!("2s");
        document["issuers"][0]["jwks_uri"] = json!(jwks_uri);
        document["issuers"][0]["token_endpoint"] = json!(deployment.dex.token_endpoint());
    })?;
    only(&examine(&config).await, ": keys")
}

fn only(report: &Report, name: &str) -> anyhow::Result<Check> {
    let mut found = report.checks.iter().filter(|check| check.name.ends_with(name));
    let check = found
        .next()
        .unwrap_or_else(|| panic!("no check {name:?}:\n{report}"));
    assert!(found.next().is_none(), "{report}");
    Ok(check.clone())
}

/// A port of this machine at which `answer` is sent to every connection that has sent something; it then stays open or not.
async fn listener(answer: &'static [u8], stays_open: bool) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // The request, or what a client of TLS sends first.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer).await;
            if stays_open {
                open.push(stream);
            }
        }
    });
    Ok(port)
}

#[tokio::test]
async fn each_cause_of_a_missing_answer_has_a_finding_and_a_cure_of_its_own() -> anyhow::Result<()> {
    let home = Deployment::start(Plan::default()).await?;
    let closed = ports::free_port()?;
    let silent = listener(b"", true).await?;
    let broken = listener(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}", false).await?;
    let failing = listener(
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        true,
    )
    .await?;
    let moved = listener(
        b"HTTP/1.1 301 Moved Permanently\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n",
        true,
    )
    .await?;
    let limited = listener(
        b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        true,
    )
    .await?;
    let absent = listener(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", true).await?;
    let at = |port: u16| format!("http://127.0.0.1:{port}/keys");
    let cases = [
        (
            "https://nowhere.invalid/keys".to_owned(),
            "has no address (DNS)",
            "spelling",
        ),
        (at(closed), "refuses the connection", "the service runs"),
        (at(silent), "does not answer within 2 s", "load and log"),
        (at(broken), "closed the connection", "log"),
        (
            format!("https://127.0.0.1:{failing}/keys"),
            "does not speak TLS",
            "http://",
        ),
        (
            at(failing),
            "status 503: the server fails",
            "logins are preserved",
        ),
        (at(moved), "redirects are not followed", "to which it leads"),
        (at(limited), "status 429", "a limit"),
        (at(absent), "status 404", "jwks_uri"),
    ];
    let mut cures = Vec::new();
    for (jwks_uri, finding, cure) in cases {
        let check = keys_at(&home, &jwks_uri).await?;
        assert_eq!(check.outcome, CheckOutcome::Fail, "{check:?}");
        assert!(check.finding.contains(finding), "{finding}: {check:?}");
        assert!(check.hint.contains(cure), "{cure}: {check:?}");
        assert!(!check.finding.contains("/keys"), "no path is repeated: {check:?}");
        cures.push(check.hint);
    }
    let count = cures.len();
    cures.sort();
    cures.dedup();
    assert_eq!(cures.len(), count, "no two causes share a cure: {cures:#?}");
    Ok(())
}

#[tokio::test]
async fn another_issuer_is_named_and_a_document_that_is_missing_is_not_taken_for_one() -> anyhow::Result<()> {
    let home = Deployment::start(Plan::default()).await?;
    let other = FakeDex::start(DexConfig::default()).await?;
    let discovery_of = |issuer: String| {
        home.changed(|document| {
            document["store"] = json!({"embedded": {"path": "@other.redb"}});
            document["issuers"][0]["issuer"] = json!(issuer);
        })
    };
    let config = discovery_of(format!("{}/", home.dex.issuer()))?;
    let named = only(&examine(&config).await, ": discovery")?;
    assert_eq!(named.outcome, CheckOutcome::Fail);
    let document = format!("names another issuer, {};", home.dex.issuer());
    assert!(named.finding.contains(&document), "{named:?}");
    assert!(named.hint.contains("a trailing slash counts"), "{named:?}");

    let config = discovery_of(format!("{}/elsewhere", other.issuer()))?;
    let missing = only(&examine(&config).await, ": discovery")?;
    assert!(missing.finding.contains("status 404"), "{missing:?}");
    assert_ne!(missing.hint, named.hint);
    Ok(())
}
