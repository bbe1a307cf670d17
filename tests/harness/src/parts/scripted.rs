//! A server that sends byte for byte what a test scripts, or nothing: what no HTTP library would send.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TOKEN_TYPE_ID_TOKEN};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a [`ScriptedServer`] does with a request.
#[derive(Debug, Clone, Default)]
pub struct Script {
    wait: Duration,
    bytes: Vec<u8>,
    hangs: bool,
}

impl Script {
    /// A whole HTTP/1.1 answer with these headers besides `content-length`.
    pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::answer_of_length(status, headers, body, body.len())
    }

    /// An answer whose `content-length` is `length` whatever the body is; the connection closes after the body.
    pub fn answer_of_length(status: u16, headers: &[(&str, &str)], body: &[u8], length: usize) -> Self {
        let mut head =
            format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Self::bytes([head.as_bytes(), body].concat())
    }

    /// What control answers when it has a token.
    pub fn token(token: &str) -> Self {
        Self::answer(200, &Self::FROM_CONTROL, &Self::token_body(token))
    }

    /// The body of [`Script::token`]. Its `expires_at` is far away, whatever the token contains.
    pub fn token_body(token: &str) -> Vec<u8> {
        json!({
            "access_token": token, "issued_token_type": TOKEN_TYPE_ID_TOKEN, "token_type": "Bearer",
            "expires_in": 1800, "expires_at": 4_000_000_000_u64,
        })
        .to_string()
        .into_bytes()
    }

    /// What control answers when it has none.
    pub fn refusal(refusal: Refusal) -> Self {
        let body = json!({
            "error": refusal.control_error(), "error_description": refusal.description(),
            "refusal": refusal.name(),
        });
        let body = body.to_string();
        Self::answer(refusal.control_status(), &Self::FROM_CONTROL, body.as_bytes())
    }

    /// Headers of all answers of control.
    pub const FROM_CONTROL: [(&'static str, &'static str); 2] = [
        (MARKER_HEADER, "0.0.0-scripted"),
        ("content-type", "application/json"),
    ];

    /// These bytes, then the connection closes.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// No byte at all, and the connection stays open.
    pub fn silence() -> Self {
        Self {
            hangs: true,
            ..Self::default()
        }
    }

    /// The same, so much later.
    pub fn late(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// A server on a free port of 127.0.0.1. It ends when it is dropped.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    requests: AtomicUsize,
}

impl ScriptedServer {
    /// Starts it with this script.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            requests: AtomicUsize::new(0),
        });
        let of_connections = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&of_connections);
                // Ends with its connection; a peer that goes away early is what some scripts are for.
                tokio::spawn(async move { drop(shared.serve(stream).await) });
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that arrive from now on get this.
    pub fn play(&self, script: Script) {
        *self.shared.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// Requests that have arrived whole.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        read_request(&mut stream).await?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::time::sleep(script.wait).await;
        stream.write_all(&script.bytes).await?;
        if script.hangs {
            while stream.read(&mut [0; 1024]).await? > 0 {}
        }
        stream.shutdown().await?;
        // What is still unread when a socket closes makes the kernel reset it and drop what was sent.
        while stream.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    }
}

/// Reads one request with a `content-length`, or without a body.
async fn read_request(stream: &mut TcpStream) -> anyhow::Result<()> {
    let (mut request, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(Ok(0), |value| value.trim().parse::<usize>())?;
            if request.len() >= end + 4 + length {
                return Ok(());
            }
        }
        let read = stream.read(&mut chunk).await?;
        anyhow::ensure!(read > 0, "the request ended early");
        request.extend_from_slice(&chunk[..read]);
    }
}
