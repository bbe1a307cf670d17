//! The socket on Linux.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener, UnixStream as StdStream};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::{PATIENCE, ReloadAnswer, RequestFailed, SEND_TIMEOUT};
use crate::digest;

/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// One name for each user and configuration.
fn address(config: &Path) -> io::Result<SocketAddr> {
    let config = std::path::absolute(config)?;
    let name = digest::hex(&Sha256::digest(config.as_os_str().as_encoded_bytes()));
    let user = rustix::process::getuid().as_raw();
    SocketAddr::from_abstract_name(format!("tokenward-reload-{user}-{name}"))
}

fn is_own(user: u32) -> bool {
    user == rustix::process::getuid().as_raw()
}

/// The listening side; without a socket no request arrives.
pub(in crate::serve) struct ReloadSocket(Option<UnixListener>);

/// A process that waits for the result of a reload.
pub(in crate::serve) struct ReloadRequest(UnixStream);

impl ReloadSocket {
    /// Listens for the configuration `config`; logs a failure, which leaves SIGHUP and the watch on files.
    pub(in crate::serve) fn open(config: &Path) -> Self {
        let open = || {
            let listener = StdListener::bind_addr(&address(config)?)?;
            listener.set_nonblocking(true)?;
            UnixListener::from_std(listener)
        };
        let hint =
            "another tokenward serve with this configuration runs here: only that one receives the requests";
        let socket = open().inspect_err(|error: &io::Error| {
            tracing::warn!(%error, hint, "tokenward reload cannot reach this process");
        });
        Self(socket.ok())
    }

    /// Waits for the next request of the same user.
    pub(in crate::serve) async fn next(&self) -> ReloadRequest {
        let Some(socket) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            match socket.accept().await {
                Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| is_own(peer.uid())) => {
                    return ReloadRequest(stream);
                }
                Ok(_) => tracing::warn!("a process of another user requested a reload; it got no answer"),
                Err(error) => {
                    tracing::warn!(%error, "a request for a reload could not be accepted");
                    tokio::time::sleep(SEND_TIMEOUT).await;
                }
            }
        }
    }
}

impl ReloadRequest {
    /// Sends the result; a process that has gone, or does not read, misses it.
    pub(in crate::serve) async fn answer(mut self, answer: &ReloadAnswer) {
        let text = serde_json::to_vec(answer).unwrap_or_default();
        let send = async {
            self.0.write_all(&text).await?;
            self.0.shutdown().await
        };
        if tokio::time::timeout(SEND_TIMEOUT, send).await.is_err() {
            tracing::debug!("the result of a reload was not read");
        }
    }
}

/// Makes the process that serves `config` reload, and returns the result.
///
/// # Errors
/// [`RequestFailed`].
pub async fn request_reload(config: &Path) -> Result<ReloadAnswer, RequestFailed> {
    let connect = || {
        let stream = StdStream::connect_addr(&address(config)?)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    };
    let not_running = |_| RequestFailed::NotRunning(config.display().to_string());
    let mut stream = connect().map_err(not_running)?;
    let failed = |error: io::Error| RequestFailed::NoAnswer(error.to_string());
    let peer = stream.peer_cred().map_err(failed)?.uid();
    if !is_own(peer) {
        return Err(RequestFailed::AnotherUser(peer));
    }
    let mut text = Vec::new();
    let mut limited = (&mut stream).take(MAX_ANSWER_BYTES);
    match tokio::time::timeout(PATIENCE, limited.read_to_end(&mut text)).await {
        Ok(read) => read.map_err(failed)?,
        Err(_) => return Err(RequestFailed::NoAnswer(format!("within {}s", PATIENCE.as_secs()))),
    };
    serde_json::from_slice(&text).map_err(|_| RequestFailed::NoAnswer("it closed the connection".to_owned()))
}
