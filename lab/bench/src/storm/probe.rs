//! An independent client of Dex: every 50 ms it reads `/healthz` and `/keys`, on a thread of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};

/// From question to question.
const EVERY: Duration = Duration::from_millis(50);
/// An answer that takes longer fails the benchmark.
const LONGEST: Duration = Duration::from_secs(30);
const PATHS: [&str; 2] = ["/dex/healthz", "/dex/keys"];

/// A running probe.
pub(super) struct Probe {
    over: Arc<AtomicBool>,
    asking: JoinHandle<anyhow::Result<[Vec<u64>; 2]>>,
}

/// Latencies, nanoseconds, sorted: of `/healthz`, of `/keys`.
pub(super) struct Probed {
    pub(super) health_ns: Vec<u64>,
    pub(super) keys_ns: Vec<u64>,
}

impl Probe {
    /// Starts it.
    ///
    /// # Errors
    /// When Dex does not accept a connection.
    pub(super) fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LONGEST))?;
        let over = Arc::<AtomicBool>::default();
        let is_over = Arc::clone(&over);
        let asking = thread::Builder::new().name("probe".to_owned()).spawn(move || {
            let mut latencies = [Vec::new(), Vec::new()];
            let mut due = Instant::now();
            while !is_over.load(Ordering::Relaxed) {
                for (path, latencies) in PATHS.iter().zip(&mut latencies) {
                    let asked = Instant::now();
                    ask(&mut stream, path)?;
                    latencies.push(u64::try_from(asked.elapsed().as_nanos())?);
                }
                due += EVERY;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(latencies)
        })?;
        Ok(Self { over, asking })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When Dex did not answer once.
    pub(super) fn end(self) -> anyhow::Result<Probed> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.asking.join().map_err(|_| anyhow!("the probe broke"))?;
        let [mut health_ns, mut keys_ns] = ended?;
        health_ns.sort_unstable();
        keys_ns.sort_unstable();
        Ok(Probed { health_ns, keys_ns })
    }
}

fn ask(stream: &mut TcpStream, path: &str) -> anyhow::Result<()> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: dex\r\n\r\n")?;
    let mut bytes = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let read = stream.read(&mut piece)?;
        ensure!(read > 0, "Dex closed the probe's connection");
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        let length = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            return Ok(());
        }
    }
}
