//! A host that serves a client's metadata document, well or badly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What the host answers.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, and the rest never.
    Stalled(Vec<u8>),
}

/// A host at a free port of 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct DocumentServer {
    pub(super) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    reply: Arc<Mutex<Reply>>,
    task: AbortHandle,
}

impl Drop for DocumentServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl DocumentServer {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let reply = Arc::new(Mutex::new(Reply::Bytes(Vec::new())));
        let (counted, replies) = (Arc::clone(&requests), Arc::clone(&reply));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, replies) = (Arc::clone(&counted), Arc::clone(&replies));
                tokio::spawn(async move {
                    // A client that leaves early is part of some tests.
                    let _ = answer(stream, &counted, &replies).await;
                });
            }
        });
        let server = Self {
            address,
            requests,
            reply,
            task: task.abort_handle(),
        };
        server.serve(&server.document());
        Ok(server)
    }

    /// The `client_id` of the document here.
    pub(super) fn client_id(&self) -> String {
        self.url("/client.json")
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A valid document of [`Self::client_id`].
    pub(super) fn document(&self) -> Value {
        json!({
            "client_id": self.client_id(),
            "client_name": "A client",
            "redirect_uris": ["http://127.0.0.1/callback"],
        })
    }

    /// Serves `document` from now on.
    pub(super) fn serve(&self, document: &Value) {
        let body = document.to_string();
        self.reply(Reply::Bytes(response(
            200,
            "content-type: application/json\r\n",
            body.as_bytes(),
        )));
    }

    /// Answers with `reply` from now on.
    pub(super) fn reply(&self, reply: Reply) {
        *self.reply.lock().expect("no panic elsewhere") = reply;
    }

    /// How many requests arrived.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A response with `headers`, each with its end of line, and `body`.
pub(super) fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn answer(mut stream: TcpStream, requests: &AtomicUsize, reply: &Mutex<Reply>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let reply = reply.lock().expect("no panic elsewhere").clone();
    match reply {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Reply::Stalled(bytes) => {
            stream.write_all(&bytes).await?;
            // Until the client gives up.
            stream.read_u8().await.map(drop)
        }
    }
}
