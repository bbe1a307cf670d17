//! Calls on a TCP connection of their own, with every byte of the answer recorded: to see that there is one answer and
//! not two, and to leave before it comes.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Call;
use super::call::PATIENCE;

/// All that a connection brought until it was closed.
#[derive(Debug, Clone)]
pub struct WholeAnswer {
    /// The status of each answer on the connection; there must be one.
    pub statuses: Vec<u16>,
    /// Everything as text.
    pub text: String,
}

impl WholeAnswer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let statuses = text
            .split("HTTP/1.1 ")
            .skip(1)
            .filter_map(|answer| answer.get(..3)?.parse().ok())
            .collect();
        Self { statuses, text }
    }

    /// The status of the only answer.
    ///
    /// # Panics
    /// When there is no answer or more than one.
    pub fn status(&self) -> u16 {
        let [status] = self.statuses[..] else {
            panic!("{} answers instead of one: {:?}", self.statuses.len(), self.text)
        };
        status
    }

    /// The refusal's name, when the gateway answered.
    pub fn refusal(&self) -> Option<String> {
        let (_, body) = self.text.split_once("\r\n\r\n")?;
        let body: Value = serde_json::from_str(body).ok()?;
        body["refusal"].as_str().map(str::to_owned)
    }
}

/// A call that was sent and not answered yet. Dropping it closes the connection, as a client that goes away does.
#[derive(Debug)]
pub struct UnderWay(TcpStream);

impl UnderWay {
    /// Reads until Envoy closes the connection.
    ///
    /// # Errors
    /// When it does not within the caller's patience.
    pub async fn whole_answer(mut self) -> anyhow::Result<WholeAnswer> {
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes))
            .await
            .with_context(|| {
                format!(
                    "the connection is still open after {:?}",
                    String::from_utf8_lossy(&bytes)
                )
            })??;
        Ok(WholeAnswer::read(&bytes))
    }
}

/// A persistent connection, for one call after another.
#[derive(Debug)]
pub struct Lane {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Lane {
    /// Sends the call and reads its answer, which must have a `content-length`; returns the status.
    ///
    /// # Errors
    /// When the connection ends, or the answer has another form.
    pub async fn exchange(&mut self, call: &Call) -> anyhow::Result<u16> {
        self.stream.write_all(&call.message("keep-alive")?).await?;
        self.buffer.clear();
        let mut chunk = [0; 4096];
        loop {
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await??;
            ensure!(read > 0, "Envoy closed the connection");
            self.buffer.extend_from_slice(&chunk[..read]);
            if let Some(status) = whole_status(&self.buffer)? {
                return Ok(status);
            }
        }
    }
}

/// The status once the answer is whole.
fn whole_status(bytes: &[u8]) -> anyhow::Result<Option<u16>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    let status = head.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3));
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .with_context(|| format!("no content-length: {head}"))?;
    let whole = end + 4 + length.parse::<usize>()?;
    ensure!(bytes.len() <= whole, "more than one answer");
    match bytes.len() == whole {
        true => Ok(Some(status.context("no status")?.parse()?)),
        false => Ok(None),
    }
}

impl Call {
    /// A connection to where this call goes.
    ///
    /// # Errors
    /// When Envoy does not take it.
    pub async fn lane(&self) -> anyhow::Result<Lane> {
        Ok(Lane {
            stream: self.connect().await?,
            buffer: Vec::new(),
        })
    }

    /// Sends it on a connection of its own that is to be closed after the answer.
    ///
    /// # Errors
    /// When Envoy does not take it.
    pub async fn send_alone(&self) -> anyhow::Result<UnderWay> {
        let mut stream = self.connect().await?;
        stream.write_all(&self.message("close")?).await?;
        Ok(UnderWay(stream))
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let address = url::Url::parse(&self.url)?.socket_addrs(|| None)?;
        let stream = TcpStream::connect(address.as_slice()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn message(&self, connection: &str) -> anyhow::Result<Vec<u8>> {
        let url = url::Url::parse(&self.url)?;
        let body = self.body().map(|body| body.to_string()).unwrap_or_default();
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\naccept: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: {connection}\r\n",
            self.method,
            url.path(),
            url.authority(),
            self.accept(),
            body.len(),
        )
        .into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body.as_bytes());
        Ok(bytes)
    }

    /// Sends it `count` times at once, each on a connection of its own.
    ///
    /// # Errors
    /// When Envoy does not take one of them, or does not end it.
    pub async fn send_many_alone(&self, count: usize) -> anyhow::Result<Vec<WholeAnswer>> {
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..count {
            let call = self.clone();
            under_way.spawn(async move { call.send_alone().await?.whole_answer().await });
        }
        under_way.join_all().await.into_iter().collect()
    }
}
