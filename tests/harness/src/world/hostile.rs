//! Clients that want to fill a gateway's memory, and the server that helps them by never answering.

use std::net::SocketAddr;
use std::ops::Range;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Call, UnderWay};

/// A server that takes connections and requests, and never answers one.
#[derive(Debug)]
pub struct SilentServer {
    /// Where it is.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl SilentServer {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                taken.push(connection);
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for SilentServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tokens with the claims of `example`, an `exp` in an hour and thousands of audiences, each with a signature of its own:
/// a client that has seen one token can write such ones.
#[derive(Debug)]
pub struct Forger {
    signed: String,
}

impl Forger {
    /// Forges after the example of this token.
    ///
    /// # Errors
    /// When it is not a JWT.
    pub fn after(example: &str) -> anyhow::Result<Self> {
        let mut parts = example.split('.');
        let (header, payload) = parts.next().zip(parts.next()).context("a JWT")?;
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
        let own = match claims["aud"].take() {
            Value::Array(audiences) => audiences,
            audience => vec![audience],
        };
        let many = std::iter::repeat_n(json!("a"), 6_000).chain(own);
        claims["aud"] = many.collect();
        let in_an_hour = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        claims["exp"] = json!(in_an_hour.as_secs() + 3_600);
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        Ok(Self {
            signed: format!("{header}.{payload}"),
        })
    }

    /// The token with this number.
    pub fn token(&self, number: usize) -> String {
        let signature = URL_SAFE_NO_PAD.encode(format!("{number:064}"));
        format!("{}.{signature}", self.signed)
    }

    /// Sends the call with each of these tokens, on a connection of its own, and waits for no answer.
    ///
    /// # Errors
    /// When Envoy does not take one of them.
    pub async fn flood(&self, call: &Call, numbers: Range<usize>) -> anyhow::Result<Vec<UnderWay>> {
        let mut under_way = Vec::with_capacity(numbers.len());
        for number in numbers {
            let call = call.clone().bearer(&self.token(number));
            under_way.push(call.send_alone().await?);
        }
        Ok(under_way)
    }
}
