//! HTTP/1.1 by hand on both sides of Envoy: nothing between the socket and the measurement.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const BUFFER_BYTES: usize = 64 * 1024;

/// A request as a [`Responder`] sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    /// Request line and headers.
    pub(super) head: &'a [u8],
    /// What was sent after the headers.
    pub(super) body: &'a [u8],
}

/// A server that answers every request with the result of a function; one with an empty result waits for its answer for as
/// long as the server runs. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Responder {
    address: SocketAddr,
    answered: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Responder {
    /// Binds a free port of 127.0.0.1 and serves.
    pub(super) async fn start<F>(answer: F) -> anyhow::Result<Self>
    where
        F: Fn(Incoming<'_>) -> Vec<u8> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (answered, answer) = (Arc::new(AtomicU64::new(0)), Arc::new(answer));
        let counter = Arc::clone(&answered);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, counter) = (Arc::clone(&answer), Arc::clone(&counter));
                // Ends with its connection, which Envoy closes.
                tokio::spawn(async move { drop(serve(stream, &*answer, &counter).await) });
            }
        });
        Ok(Self {
            address,
            answered,
            accepting,
        })
    }

    /// A server that always gives the same answer.
    pub(super) async fn fixed(answer: Vec<u8>) -> anyhow::Result<Self> {
        Self::start(move |_| answer.clone()).await
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<F>(mut stream: TcpStream, answer: &F, counter: &AtomicU64) -> anyhow::Result<()>
where
    F: Fn(Incoming<'_>) -> Vec<u8>,
{
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    loop {
        while let Some(length) = message_length(&buffer[..filled], true)? {
            let body = head_length(&buffer[..length]).unwrap_or(length);
            let bytes = answer(Incoming {
                head: &buffer[..body],
                body: &buffer[body..length],
            });
            counter.fetch_add(1, Ordering::SeqCst);
            stream.write_all(&bytes).await?;
            buffer.copy_within(length..filled, 0);
            filled -= length;
        }
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "closed");
        filled += read;
    }
}

/// A persistent client connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Sends a request and reads nothing.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Sends a request and reads the whole answer; returns its status.
    ///
    /// # Errors
    /// When the connection ends, or the answer has no `content-length`.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.receive(request).await?;
        status(&self.buffer)
    }

    /// The same, with the answer's body.
    ///
    /// # Errors
    /// As [`Connection::exchange`].
    pub(super) async fn exchange_for_body(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        let length = self.receive(request).await?;
        let body = head_length(&self.buffer[..length]).unwrap_or(length);
        Ok((status(&self.buffer)?, &self.buffer[body..length]))
    }

    /// The same, with the whole answer, head and body.
    ///
    /// # Errors
    /// As [`Connection::exchange`].
    pub(super) async fn exchange_for_answer(&mut self, request: &[u8]) -> anyhow::Result<(u16, &[u8])> {
        let length = self.receive(request).await?;
        Ok((status(&self.buffer)?, &self.buffer[..length]))
    }

    /// Sends a request and reads the whole answer into the buffer; returns its length.
    async fn receive(&mut self, request: &[u8]) -> anyhow::Result<usize> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the server closed the connection");
            filled += read;
            if let Some(length) = message_length(&self.buffer[..filled], false)? {
                ensure!(length == filled, "more than one answer to one request");
                return Ok(length);
            }
        }
    }

    /// Sends a request for a stream, and calls `seen` with the number of events in each piece that
    /// arrives, until the last chunk of a chunked body.
    pub(super) async fn stream(
        &mut self,
        request: &[u8],
        mut seen: impl FnMut(usize),
    ) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        let (mut first, mut carried) = (0, 0);
        loop {
            // The last bytes of the piece before, for an end that is cut in two.
            let read = self.stream.read(&mut self.buffer[carried..]).await?;
            ensure!(read > 0, "the server closed the connection");
            if first == 0 {
                first = status(&self.buffer)?;
            }
            let piece = &self.buffer[..carried + read];
            seen(
                piece[carried.saturating_sub(1)..]
                    .windows(2)
                    .filter(|pair| pair == b"\n\n")
                    .count(),
            );
            if piece.ends_with(b"\r\n0\r\n\r\n") {
                return Ok(first);
            }
            let end = piece.len();
            carried = end.min(6);
            self.buffer.copy_within(end - carried..end, 0);
        }
    }
}

/// `HTTP/1.1 200 …`.
fn status(answer: &[u8]) -> anyhow::Result<u16> {
    let digits = answer.get(9..12).context("an answer without a status")?;
    Ok(std::str::from_utf8(digits)?.parse()?)
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(at + 4)
}

/// Length of the first message in `bytes`, or `None` while it is not whole. A request may come without
/// `content-length`: it has no body then.
fn message_length(bytes: &[u8], request: bool) -> anyhow::Result<Option<usize>> {
    let Some(head) = head_length(bytes) else {
        ensure!(
            bytes.len() < BUFFER_BYTES,
            "headers longer than {BUFFER_BYTES} bytes"
        );
        return Ok(None);
    };
    // Most requests are GET, and the upstream must be faster than Envoy: not even looked for there.
    let body = if request && bytes.starts_with(b"GET ") {
        0
    } else {
        match content_length(&bytes[..head]) {
            Some(length) => length,
            None if request => 0,
            None => anyhow::bail!("an answer without content-length"),
        }
    };
    ensure!(head + body <= BUFFER_BYTES, "a message of {} bytes", head + body);
    Ok((bytes.len() >= head + body).then_some(head + body))
}

/// Envoy and this module write header names in lower case.
fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let at = head.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let mut digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.try_fold(0_usize, |sum, digit| {
        sum.checked_mul(10)?.checked_add(usize::from(digit - b'0'))
    })
}
