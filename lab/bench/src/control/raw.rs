//! A Valkey, as the measurement sees it: through the client library that control uses.

use anyhow::{Context as _, ensure};
use redis::aio::MultiplexedConnection;

use super::load::Client;
use tokenward_harness::parts::Valkey;

/// The key of the raw GETs.
const KEY: &str = "bench:raw";

/// A Valkey on a port of 127.0.0.1, and one connection to it.
#[derive(Debug)]
pub(super) struct Raw {
    /// The server.
    pub(super) valkey: Valkey,
    connection: MultiplexedConnection,
    bytes: usize,
}

impl Raw {
    /// Starts one.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let valkey = Valkey::start_on_a_port(&["--appendonly", "no"]).await?;
        let connection = redis::Client::open(valkey.url())?
            .get_multiplexed_async_connection()
            .await?;
        Ok(Self {
            valkey,
            connection,
            bytes: 0,
        })
    }

    /// Keeps the bytes of a grant's record, as control wrote them, under a key of its own.
    ///
    /// # Errors
    /// When control has written none.
    pub(super) async fn copy_a_grant(&mut self) -> anyhow::Result<()> {
        let (_, grants): (String, Vec<String>) = redis::cmd("SCAN")
            .arg(0)
            .arg("MATCH")
            .arg("*{g:*}")
            .arg("COUNT")
            .arg(100_000)
            .query_async(&mut self.connection)
            .await?;
        let grant = grants.first().context("control has kept no grant")?;
        let value: Vec<u8> = redis::cmd("GET")
            .arg(grant)
            .query_async(&mut self.connection)
            .await?;
        ensure!(!value.is_empty(), "an empty grant");
        self.bytes = value.len();
        Ok(redis::cmd("SET")
            .arg(KEY)
            .arg(value)
            .query_async(&mut self.connection)
            .await?)
    }

    /// Bytes of that record.
    pub(super) fn record_bytes(&self) -> usize {
        self.bytes
    }

    /// So many callers on the one connection.
    pub(super) fn clients(&self, callers: usize) -> Vec<Client> {
        let client = |_| Client::Get {
            connection: self.connection.clone(),
            key: KEY,
            bytes: self.bytes,
        };
        (0..callers).map(client).collect()
    }

    /// Commands that the server has run so far for all clients, without those about the server itself.
    pub(super) async fn commands(&self) -> anyhow::Result<u64> {
        let text: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut self.connection.clone())
            .await?;
        let calls = text
            .lines()
            .filter(|line| !line.starts_with("cmdstat_info:"))
            .filter_map(|line| {
                line.split_once(":calls=")?
                    .1
                    .split(',')
                    .next()?
                    .parse::<u64>()
                    .ok()
            });
        Ok(calls.sum())
    }

    /// Bytes that the server has allocated.
    pub(super) async fn used_bytes(&self) -> anyhow::Result<u64> {
        let text: String = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut self.connection.clone())
            .await?;
        let value = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(value.context("no used_memory")?.trim().parse()?)
    }

    /// Deletes the keys of a pattern, and counts them.
    pub(super) async fn delete(&self, pattern: &str) -> anyhow::Result<u64> {
        let mut connection = self.connection.clone();
        let (_, keys): (String, Vec<String>) = redis::cmd("SCAN")
            .arg(0)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(1_000_000)
            .query_async(&mut connection)
            .await?;
        if keys.is_empty() {
            return Ok(0);
        }
        Ok(redis::cmd("DEL").arg(keys).query_async(&mut connection).await?)
    }

    /// The server's version.
    pub(super) async fn version(&self) -> anyhow::Result<String> {
        let text: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut self.connection.clone())
            .await?;
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let version = value("valkey_version:").or_else(|| value("redis_version:"));
        Ok(version.context("no version")?.trim().to_owned())
    }
}
