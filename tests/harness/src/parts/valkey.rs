//! A real Valkey, alone in its own folder, that can be paused, killed and started again at the same address.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{Process, ProcessSpec, ports, tools};

/// Generous: a loaded machine starts Valkey in a second, an idle one in 30 ms.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// A port that was free may be taken before Valkey binds it.
const ATTEMPTS: usize = 5;

#[derive(Debug, Clone)]
enum Address {
    Socket(PathBuf),
    Port(u16),
}

/// A client of a [`Valkey`] at its present address: a connection for each command.
#[derive(Debug, Clone)]
pub struct ValkeyClient {
    address: Address,
}

impl ValkeyClient {
    /// [`Valkey::command`].
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        match &self.address {
            Address::Socket(path) => exchange(UnixStream::connect(path).await?, words).await,
            Address::Port(port) => exchange(TcpStream::connect(("127.0.0.1", *port)).await?, words).await,
        }
    }
}

/// A running (or killed, or paused) Valkey. It ends with this guard, and so does its data.
#[derive(Debug)]
pub struct Valkey {
    address: Address,
    arguments: Vec<String>,
    process: Option<Process>,
    folder: TempDir,
}

impl Valkey {
    /// Starts one on a Unix socket, with nothing persisted: killed, it forgets everything.
    ///
    /// # Errors
    /// When there is no Valkey on this machine, or it does not start.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further arguments, as `--requirepass x`.
    pub async fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-valkey-")?;
        let address = Address::Socket(folder.path().join("valkey.sock"));
        let mut valkey = Self {
            address,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            process: None,
            folder,
        };
        valkey.launch().await?;
        Ok(valkey)
    }

    /// Starts one on a free port of 127.0.0.1, for what needs TCP (Cluster, Sentinel).
    pub async fn start_on_a_port(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut valkey = Self {
            address: Address::Port(0),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            process: None,
            folder: TempDir::with_prefix("tokenward-valkey-")?,
        };
        for attempt in 1.. {
            valkey.address = Address::Port(ports::free_port()?);
            match valkey.launch().await {
                Ok(()) => break,
                Err(error) if attempt == ATTEMPTS => return Err(error),
                Err(_) => {}
            }
        }
        Ok(valkey)
    }

    /// What the control service's `store.valkey.url` takes.
    pub fn url(&self) -> String {
        match &self.address {
            Address::Socket(path) => format!("unix://{}", path.display()),
            Address::Port(port) => format!("redis://127.0.0.1:{port}/0"),
        }
    }

    /// Its port, when it listens on one.
    pub fn port(&self) -> Option<u16> {
        match self.address {
            Address::Socket(_) => None,
            Address::Port(port) => Some(port),
        }
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Stops it where it is (SIGSTOP): connections stay open and nothing is answered.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        self.running()?.pause()
    }

    /// Lets it go on after [`Valkey::pause`].
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.running()?.resume()
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Starts it again at the same address after [`Valkey::kill`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = None;
        self.launch().await
    }

    /// Sends one raw command and returns the raw reply, for planting and reading what no client would. Meant for
    /// short replies: it reads to the first line end.
    pub async fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        self.client().command(words).await
    }

    /// A client of it, for a task of its own.
    pub fn client(&self) -> ValkeyClient {
        ValkeyClient {
            address: self.address.clone(),
        }
    }

    /// Waits until this replica has everything that `primary` has written by now. `WAIT` does not report that: it waits
    /// for the writes of its own connection, and a connection that wrote nothing is answered at once.
    pub async fn catches_up_with(&self, primary: &Self, limit: Duration) -> anyhow::Result<()> {
        let written = primary.replication_offset().await?;
        let caught_up = async {
            while self.replication_offset().await? < written {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(limit, caught_up)
            .await
            .context("the replica did not catch up with its primary")?
    }

    /// The offset in the reply to `ROLE`: a primary's comes first, a replica's comes last, after its primary's port.
    async fn replication_offset(&self) -> anyhow::Result<i64> {
        let role = self.command(&["ROLE"]).await?;
        let mut numbers = role.lines().filter_map(|line| line.strip_prefix(':'));
        let offset = if role.contains("master") {
            numbers.next()
        } else {
            numbers.next_back()
        };
        let offset = offset.with_context(|| format!("no offset in {role:?}"))?;
        Ok(offset.parse()?)
    }

    fn running(&mut self) -> anyhow::Result<&mut Process> {
        self.process
            .as_mut()
            .context("this Valkey was killed; restart it first")
    }

    async fn launch(&mut self) -> anyhow::Result<()> {
        let mut arguments = vec!["--save".to_owned(), String::new(), "--dir".to_owned()];
        arguments.push(self.folder.path().display().to_string());
        arguments.extend(match &self.address {
            Address::Socket(path) => {
                ["--port", "0", "--unixsocket", &path.display().to_string()].map(str::to_owned)
            }
            Address::Port(port) => ["--port", &port.to_string(), "--bind", "127.0.0.1"].map(str::to_owned),
        });
        arguments.extend(self.arguments.iter().cloned());
        let process = Process::start(&ProcessSpec::new("valkey", tools::valkey_server()?, arguments))?;
        let process = self.process.insert(process);
        let ready = process
            .log()
            .wait_for_line(
                |line| line.contains("Ready to accept connections") || line.contains("Failed listening"),
                STARTS_WITHIN,
            )
            .await?;
        if ready.contains("Failed listening") {
            bail!("Valkey cannot listen: {ready}");
        }
        process.ensure_running()
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &[&str]) -> anyhow::Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    let mut part = [0_u8; 1024];
    while !reply.ends_with(b"\r\n") {
        let read = stream.read(&mut part).await?;
        if read == 0 {
            bail!("Valkey closed the connection");
        }
        reply.extend_from_slice(&part[..read]);
    }
    Ok(String::from_utf8_lossy(&reply).into_owned())
}
