//! A client that takes no answers: TLS buffers some bytes of them, and that must not count as taken.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::stage::{NAMES, Stage};

/// A TLS connection for HTTP/1.1 whose side of the network holds little.
async fn connect(stage: &Stage) -> anyhow::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(stage.control.address()).await?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(stage.authority.pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAMES[0])?.to_owned();
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_closed_at_the_deadline() -> anyhow::Result<()> {
    const REQUEST: &[u8] = b"GET /openapi.json HTTP/1.1\r\nhost: control\r\n\r\n";
    let stage = Stage::start(json!({}), &[("intake", json!({"deadline": "2s"}))]).await?;
    let mut client = connect(&stage).await?;
    client.write_all(REQUEST).await?;
    // It reads: the first answer's beginning arrives.
    let mut beginning = [0; 12];
    client.read_exact(&mut beginning).await?;
    assert_eq!(&beginning, b"HTTP/1.1 200");
    // More answers than the network and all buffers hold.
    for _ in 0..200 {
        client.write_all(REQUEST).await?;
    }
    client.flush().await?;
    assert_eq!(stage.closed_at_least("late", 1).await?, 1);
    Ok(())
}
