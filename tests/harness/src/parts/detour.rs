//! A TCP way to a server that can be made slow, cut, and led elsewhere behind one address.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Where the way leads, and how slowly.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Port of 127.0.0.1; connections of an earlier port are cut.
    port: u16,
    /// Each answer comes this much later.
    delay: Duration,
}

/// A listener on 127.0.0.1 that passes everything on. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Detour {
    address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Detour {
    /// A way to `port` of 127.0.0.1, at first without a delay.
    pub async fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let delay = Duration::ZERO;
        let (way, watched) = watch::channel(Way { port, delay });
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, watched.clone()));
            }
        });
        Ok(Self { address, way, task })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `redis://…` of this way.
    pub fn valkey_url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// From now on each answer comes `delay` later, also on connections that are open.
    pub fn set_delay(&self, delay: Duration) {
        self.way.send_modify(|way| way.delay = delay);
    }

    /// Cuts all connections; new ones lead to `port`.
    pub fn lead_to(&self, port: u16) {
        self.way.send_modify(|way| way.port = port);
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection, until either side ends it, the way leads elsewhere or the detour is gone.
async fn carry(client: TcpStream, mut way: watch::Receiver<Way>) {
    let port = way.borrow().port;
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let questions = pass(from_client, to_server, None);
    let answers = pass(from_server, to_client, Some(way.clone()));
    tokio::select! {
        () = questions => {}
        () = answers => {}
        _ = way.wait_for(|way| way.port != port) => {}
    }
}

/// Passes bytes on, each chunk as late as the way is set when it arrives: latency, not less throughput.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, slow: Option<watch::Receiver<Way>>) {
    let (arrived, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reading = async move {
        let mut bytes = vec![0_u8; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            let delay = slow.as_ref().map_or(Duration::ZERO, |way| way.borrow().delay);
            let chunk = (Instant::now() + delay, bytes[..count].to_vec());
            if arrived.send(chunk).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((moment, chunk)) = due.recv().await {
            tokio::time::sleep_until(moment).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, writing);
}
