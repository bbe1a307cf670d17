//! Event streams: 1,000 chunks per answer, each one a read and a write of its own in Envoy.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::wire::Connection;

/// Chunks in an answer.
pub(super) const CHUNKS: usize = 1000;
/// Says which reader a request is of: its number, three digits.
const READER_HEADER: &str = "x-bench-reader: ";
const EVENT: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\
                     \"params\":{\"progressToken\":\"1\",\"progress\":1}}\n\n";

/// A server of event streams, and its readers in the same process.
///
/// A chunk is sent when its reader has seen the one before: otherwise chunks would pile up, Envoy would read many at
/// once, and a filter that looks at each piece of a body would look at fewer.
#[derive(Debug)]
pub(super) struct EventServer {
    address: SocketAddr,
    wanted: Arc<Vec<Semaphore>>,
    accepting: JoinHandle<()>,
}

impl EventServer {
    /// Starts it for so many readers.
    pub(super) async fn start(readers: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let wanted: Arc<Vec<Semaphore>> = Arc::new((0..readers).map(|_| Semaphore::new(0)).collect());
        let shared = Arc::clone(&wanted);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let wanted = Arc::clone(&shared);
                // Ends with its connection.
                tokio::spawn(async move { drop(serve(stream, &wanted).await) });
            }
        });
        Ok(Self {
            address,
            wanted,
            accepting,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads whole streams through `gateway` with all readers until the time is over; returns the chunks read.
    ///
    /// # Errors
    /// When an answer is not 200, or has another number of events than [`CHUNKS`].
    pub(super) async fn read(
        &self,
        gateway: SocketAddr,
        request: &str,
        duration: Duration,
    ) -> anyhow::Result<u64> {
        let begun = Instant::now();
        let total = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for reader in 0..self.wanted.len() {
            let request = request.replace("\r\n\r\n", &format!("\r\n{READER_HEADER}{reader:03}\r\n\r\n"));
            let (wanted, total) = (Arc::clone(&self.wanted), Arc::clone(&total));
            tasks.spawn(async move {
                let mut connection = Connection::open(gateway).await?;
                while begun.elapsed() < duration {
                    let mut events = 0;
                    wanted[reader].add_permits(1);
                    let seen = |count| {
                        events += count;
                        wanted[reader].add_permits(count);
                    };
                    let status = connection.stream(request.as_bytes(), seen).await?;
                    ensure!(status == 200, "a stream was answered {status}");
                    ensure!(events == CHUNKS, "{events} events instead of {CHUNKS}");
                    // The one that the last event requested.
                    wanted[reader].forget_permits(1);
                    total.fetch_add(u64::try_from(events)?, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(total.load(Ordering::Relaxed))
    }
}

impl Drop for EventServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, wanted: &[Semaphore]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let chunk = format!("{:x}\r\n{EVENT}\r\n", EVENT.len());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let mut filled = 0;
        while !buffer[..filled].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut buffer[filled..]).await?;
            ensure!(read > 0, "closed");
            filled += read;
        }
        let head = std::str::from_utf8(&buffer[..filled])?;
        let (_, reader) = head.split_once(READER_HEADER).context("a request of no reader")?;
        let reader: usize = reader.get(..3).context("a short number")?.parse()?;
        let wanted = wanted.get(reader).context("no such reader")?;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..CHUNKS {
            wanted.acquire().await?.forget();
            stream.write_all(chunk.as_bytes()).await?;
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
}
