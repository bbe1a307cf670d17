//! An HTTP server inside the test process on a free port of 127.0.0.1, with connections that can be cut without an
//! answer: the way a crashed pod or a broken network looks to a client.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Cuts one connection. A handler gets it as `ConnectInfo<Cut>`, cuts, and returns any answer: no byte of the answer
/// is sent and the connection closes.
#[derive(Debug, Clone, Default)]
pub struct Cut(Arc<AtomicBool>);

impl Cut {
    /// From now on nothing is read from or written to the connection.
    pub fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }
}

/// The socket of a [`LoopbackServer`], bound before the router is built because an issuer has its port in its name.
#[derive(Debug)]
pub struct LoopbackSocket {
    listener: TcpListener,
    address: SocketAddr,
}

impl LoopbackSocket {
    /// Binds a free port of 127.0.0.1.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until the returned server is dropped. Must be called in a tokio runtime. `down` is the flag
    /// of [`LoopbackServer::set_down`], for handlers that cut requests on connections that are already open.
    pub fn serve(self, router: Router, down: Arc<AtomicBool>) -> LoopbackServer {
        let accepted = Arc::<AtomicUsize>::default();
        let listener = CuttableListener {
            listener: self.listener,
            down: down.clone(),
            accepted: accepted.clone(),
        };
        let service = router.into_make_service_with_connect_info::<Cut>();
        let task = tokio::spawn(async move {
            // Never returns: accept errors are retried inside.
            let _ = axum::serve(listener, service).await;
        });
        LoopbackServer {
            address: self.address,
            down,
            accepted,
            task,
        }
    }
}

/// A running server. Dropping it closes its port.
#[derive(Debug)]
pub struct LoopbackServer {
    address: SocketAddr,
    down: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl LoopbackServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// While down, every new connection is closed at once. Requests on connections that are already open are the
    /// router's business.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }
}

impl Drop for LoopbackServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct CuttableListener {
    listener: TcpListener,
    down: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if !self.down.load(Ordering::SeqCst) {
                self.accepted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                return (
                    CuttableStream {
                        stream,
                        cut: Cut::default(),
                    },
                    address,
                );
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}

struct CuttableStream {
    stream: TcpStream,
    cut: Cut,
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
