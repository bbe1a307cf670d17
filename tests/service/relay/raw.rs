//! Sockets without an HTTP library: what control sends to an issuer, and what it sends back, byte for byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest wait for an answer: a test of something that never comes must end.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

/// One HTTP/1.1 message as it arrived, the chunks of its body put together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    /// The header lines, in their order.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The values of one header field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.iter().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The header lines without those of these names.
    pub(crate) fn headers_without(&self, names: &[&str]) -> Vec<&str> {
        let is_named = |line: &str| {
            let name = line.split(':').next().unwrap_or_default();
            names.iter().any(|named| named.eq_ignore_ascii_case(name))
        };
        let lines = self.headers.iter().map(String::as_str);
        lines.filter(|line| !is_named(line)).collect()
    }

    /// Reads a message: until its length is reached, its last chunk, or the end of the connection if it has neither.
    /// `head_only`: its body is left out (an answer to HEAD).
    async fn read(stream: &mut TcpStream, head_only: bool) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end;
            }
            anyhow::ensure!(read_more(stream, &mut bytes).await?, "no complete head");
        };
        let head = String::from_utf8(bytes[..end].to_vec())?;
        let mut lines = head.split("\r\n").map(str::to_owned);
        let mut message = Self {
            start: lines.next().unwrap_or_default(),
            headers: lines.collect(),
            body: Vec::new(),
        };
        let mut rest = bytes.split_off(end + 4);
        let is_request = !message.start.starts_with("HTTP/");
        let length = message
            .values("content-length")
            .first()
            .map(|value| value.parse());
        if message.values("transfer-encoding") == ["chunked"] {
            message.body = chunks(stream, rest).await?;
        } else if let Some(length) = length.filter(|_| !head_only) {
            let length: usize = length?;
            while rest.len() < length {
                anyhow::ensure!(read_more(stream, &mut rest).await?, "no complete body");
            }
            message.body = rest;
        } else if !(is_request || head_only || message.start.contains(" 204 ")) {
            while read_more(stream, &mut rest).await? {}
            message.body = rest;
        }
        Ok(message)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    Ok(stream.read_buf(bytes).await? > 0)
}

async fn chunks(stream: &mut TcpStream, mut rest: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = find(&rest, b"\r\n") else {
            anyhow::ensure!(read_more(stream, &mut rest).await?, "no complete chunk");
            continue;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
        while rest.len() < line + 2 + size + 2 {
            anyhow::ensure!(read_more(stream, &mut rest).await?, "no complete chunk");
        }
        body.extend_from_slice(&rest[line + 2..][..size]);
        rest.drain(..line + 2 + size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

/// What a [`RawIssuer`] does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends the bytes once [`RawIssuer::release`] is called.
    Held(Vec<u8>),
}

/// An issuer's token endpoint that records every request and answers with a script. It ends when it is dropped.
pub(crate) struct RawIssuer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    play: Mutex<Play>,
    requests: Mutex<Vec<Message>>,
    arrived: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

/// A whole answer with a length.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

impl RawIssuer {
    pub(crate) async fn start(play: Play) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            play: Mutex::new(play),
            requests: Mutex::default(),
            arrived: watch::Sender::new(0),
            released: watch::Sender::new(false),
        });
        let accepted = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&accepted);
                tokio::spawn(async move { drop(shared.serve(stream).await) });
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Its token endpoint; with a path of its own.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/own/token", self.address)
    }

    pub(crate) fn play(&self, play: Play) {
        *self.shared.play.lock().unwrap_or_else(PoisonError::into_inner) = play;
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Message {
        self.requests().pop().unwrap_or_default()
    }

    /// Returns when `count` requests have arrived.
    pub(crate) async fn wait_for(&self, count: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        let _ = arrived.wait_for(|arrived| *arrived >= count).await;
    }

    /// Lets every [`Play::Held`] go on.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Drop for RawIssuer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let request = Message::read(&mut stream, false).await?;
        let play = self.play.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        self.arrived.send_modify(|arrived| *arrived += 1);
        let bytes = match play {
            Play::Bytes(bytes) => bytes,
            Play::Held(bytes) => {
                let _ = self.released.subscribe().wait_for(|released| *released).await;
                bytes
            }
        };
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        // What is still unread when a socket closes makes the kernel reset it and drop what was sent.
        while stream.read(&mut [0; 1024]).await? > 0 {}
        Ok(())
    }
}

/// Sends `request` to the replica at `url` and reads the answer.
pub(crate) async fn send(url: &str, request: &[u8]) -> anyhow::Result<Message> {
    let mut stream = connect(url).await?;
    stream.write_all(request).await?;
    let answer = Message::read(&mut stream, request.starts_with(b"HEAD "));
    tokio::time::timeout(LONGEST_ANSWER, answer).await?
}

/// A connection to the replica at `url`.
pub(crate) async fn connect(url: &str) -> anyhow::Result<TcpStream> {
    let address = url.strip_prefix("http://").unwrap_or(url);
    Ok(TcpStream::connect(address).await?)
}

/// An address that exists before what answers there: every connection is handed on to the present target.
pub(crate) struct Forward {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    accepting: JoinHandle<()>,
}

impl Forward {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let target: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
        let current = Arc::clone(&target);
        let accepting = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let target = *current.lock().unwrap_or_else(PoisonError::into_inner);
                tokio::spawn(async move {
                    let mut target = TcpStream::connect(target?).await.ok()?;
                    tokio::io::copy_bidirectional(&mut stream, &mut target).await.ok()
                });
            }
        });
        Ok(Self {
            address,
            target,
            accepting,
        })
    }

    /// A URL of this address.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Hands connections from now on to the server of `url`.
    pub(crate) fn to(&self, url: &str) -> anyhow::Result<()> {
        let url: url::Url = url.parse()?;
        let address = url.socket_addrs(|| None)?.first().copied();
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = address;
        Ok(())
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
