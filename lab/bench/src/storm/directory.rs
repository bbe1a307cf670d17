//! The user directory behind Dex, spoken to as an Atlassian Crowd: it knows every user and counts the refreshes of each.
//! Passwords are not hashed, so that logins cost little; a refresh at Dex needs the directory, as with LDAP or another issuer.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The directory, on a thread of its own: the load must not delay its answers. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    address: SocketAddr,
    refreshes: Arc<Mutex<HashMap<String, u32>>>,
    _end: oneshot::Sender<()>,
}

impl Directory {
    /// Binds a free port of 127.0.0.1 and serves.
    ///
    /// # Errors
    /// When there is no port or no thread.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let refreshes = Arc::<Mutex<HashMap<String, u32>>>::default();
        let (end, ended) = oneshot::channel::<()>();
        let counts = Arc::clone(&refreshes);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("directory".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        _ = ended => {}
                        served = serve(listener, counts) => drop(served),
                    }
                });
            })?;
        Ok(Self {
            address,
            refreshes,
            _end: end,
        })
    }

    /// Where Dex reaches it.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on nothing was counted.
    pub(super) fn forget(&self) {
        lock(&self.refreshes).clear();
    }

    /// How many users were refreshed how often: the number of users, the fewest and the most refreshes of one of them, and all.
    pub(super) fn refreshes(&self) -> (usize, u32, u32, u64) {
        let refreshes = lock(&self.refreshes);
        let counts = || refreshes.values().copied();
        (
            refreshes.len(),
            counts().min().unwrap_or(0),
            counts().max().unwrap_or(0),
            counts().map(u64::from).sum(),
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    listener: std::net::TcpListener,
    counts: Arc<Mutex<HashMap<String, u32>>>,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // Ends with its connection: Dex opens one for each login and each refresh.
        tokio::spawn(answer_all(stream, Arc::clone(&counts)));
    }
}

async fn answer_all(mut stream: TcpStream, counts: Arc<Mutex<HashMap<String, u32>>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let Some((head, length)) = whole_request(&bytes)? else {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let request = std::str::from_utf8(&bytes[..length])?;
        let (status, body) = answer(&request[..head], &request[head..], &counts);
        // Dex reads groups last.
        let is_last = body.starts_with("{\"groups");
        let connection = if is_last { "close" } else { "keep-alive" };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: {connection}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        if is_last {
            return Ok(());
        }
        bytes.drain(..length);
    }
}

/// Lengths of the head and of the whole first request, once it is there.
fn whole_request(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = length.map_or(Ok(0), |(_, value)| value.parse::<usize>());
    let length = end + 4 + body.context("content-length")?;
    Ok((bytes.len() >= length).then_some((end + 4, length)))
}

/// Status and body.
fn answer(head: &str, body: &str, counts: &Mutex<HashMap<String, u32>>) -> (&'static str, String) {
    const SESSION: &str = "{\"token\":\"t\"}";
    let target = head.split(' ').nth(1).unwrap_or_default();
    if head.starts_with("POST ") {
        // A session without a password is what a refresh makes.
        if target.contains("validate-password=false") {
            let user = body.split('"').nth(3).unwrap_or_default();
            *lock(counts).entry(user.to_owned()).or_default() += 1;
        }
        return ("201 Created", SESSION.to_owned());
    }
    let user = target.split_once("username=").map_or("", |(_, user)| user);
    if target.contains("/group/") {
        let groups = (1..=10).map(|number| format!("{{\"name\":\"customer-{number:02}:engineers\"}}"));
        let groups = groups.collect::<Vec<_>>().join(",");
        return ("200 OK", format!("{{\"groups\":[{groups}]}}"));
    }
    let user = format!(
        "{{\"key\":\"key-{user}\",\"name\":\"{user}\",\"email\":\"{user}@example.com\",\"active\":true}}"
    );
    ("200 OK", user)
}
