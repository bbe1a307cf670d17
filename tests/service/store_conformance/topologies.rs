//! The Valkey engine on a Cluster and behind Sentinel: the same list of behaviours, and a failover.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokenward_control::store::Key;
use tokenward_control::store::valkey::{Topology, ValkeyConfig, ValkeyStore};
use tokenward_harness::parts::{Process, ProcessSpec, Valkey, ports, tools, write_file};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::engine::{Engine, LONG_DEADLINE, config};
use super::{eventually, every_behaviour, put};

const BEHAVIOURS: usize = 43;

/// A Cluster of primaries that share the slots evenly, and where wanted a replica of the first.
pub(crate) struct Cluster {
    pub(crate) primaries: Vec<Valkey>,
    pub(crate) replica: Option<Valkey>,
}

/// After so long without a word a node counts as dead.
const NODE_TIMEOUT_MS: &str = "1000";

impl Cluster {
    pub(crate) async fn of(primaries: u16, with_replica: bool) -> anyhow::Result<Self> {
        let mut cluster = Self {
            primaries: Vec::new(),
            replica: None,
        };
        let share = 16384 / primaries;
        for at in 0..primaries {
            let node = cluster_node().await?;
            let last = if at + 1 == primaries {
                16383
            } else {
                (at + 1) * share - 1
            };
            let range = [(at * share).to_string(), last.to_string()];
            expect_ok(&node, &["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]]).await?;
            cluster.meet(&node).await?;
            cluster.primaries.push(node);
        }
        cluster.wait_until_whole().await?;
        if with_replica {
            cluster.add_replica().await?;
        }
        Ok(cluster)
    }

    pub(crate) fn topology(&self) -> Topology {
        Topology::Cluster {
            more_nodes: self.primaries.iter().skip(1).map(Valkey::url).collect(),
        }
    }

    pub(crate) fn url(&self) -> String {
        self.primaries[0].url()
    }

    async fn meet(&self, newcomer: &Valkey) -> anyhow::Result<()> {
        let Some(first) = self.primaries.first() else {
            return Ok(());
        };
        let port = first.port().unwrap_or_default().to_string();
        let bus = first.command(&["CONFIG", "GET", "cluster-port"]).await?;
        let bus_port = bus
            .trim_end()
            .rsplit("\r\n")
            .next()
            .unwrap_or_default()
            .to_owned();
        expect_ok(newcomer, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]).await
    }

    async fn wait_until_whole(&self) -> anyhow::Result<()> {
        for node in &self.primaries {
            eventually("the cluster is whole", || async {
                // A key of another's slots is answered with a redirection once all slots are known to be served.
                let mut whole = true;
                for key in ["a", "b", "c"] {
                    whole &= !node.command(&["GET", key]).await?.contains("CLUSTERDOWN");
                }
                Ok(whole)
            })
            .await?;
        }
        Ok(())
    }

    async fn add_replica(&mut self) -> anyhow::Result<()> {
        let replica = cluster_node().await?;
        self.meet(&replica).await?;
        let primary = &self.primaries[0];
        let reply = primary.command(&["CLUSTER", "MYID"]).await?;
        let id = reply
            .trim_end()
            .rsplit("\r\n")
            .next()
            .unwrap_or_default()
            .to_owned();
        eventually("the replica knows its primary", || async {
            Ok(replica.command(&["CLUSTER", "REPLICATE", &id]).await? == "+OK\r\n")
        })
        .await?;
        eventually("the replica follows", || async {
            Ok(primary.command(&["WAIT", "1", "100"]).await? == ":1\r\n")
        })
        .await?;
        self.replica = Some(replica);
        Ok(())
    }
}

async fn expect_ok(node: &Valkey, words: &[&str]) -> anyhow::Result<()> {
    let reply = node.command(words).await?;
    anyhow::ensure!(reply == "+OK\r\n", "{words:?}: {reply}");
    Ok(())
}

async fn cluster_node() -> anyhow::Result<Valkey> {
    let bus = ports::free_port()?.to_string();
    let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus];
    let timeout = ["--cluster-node-timeout", NODE_TIMEOUT_MS];
    let fast = [
        "--repl-diskless-sync-delay",
        "0",
        "--cluster-replica-validity-factor",
        "0",
    ];
    let node = Valkey::start_on_a_port(&[&settings[..], &timeout, &fast].concat()).await?;
    expect_ok(&node, &["CONFIG", "SET", "cluster-announce-ip", "127.0.0.1"]).await?;
    Ok(node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_holds_on_a_cluster_of_three() -> anyhow::Result<()> {
    let cluster = Cluster::of(3, false).await?;
    let store = ValkeyStore::connect(ValkeyConfig {
        topology: cluster.topology(),
        ..config(cluster.url(), LONG_DEADLINE)
    })
    .await?;
    let engine = Engine::of(Arc::new(store), None, (None, None));
    assert_eq!(every_behaviour(&engine).await?, BEHAVIOURS);
    for node in &cluster.primaries {
        let size = node.command(&["DBSIZE"]).await?;
        assert_ne!(size, ":0\r\n", "each node has its share");
    }
    Ok(())
}

/// A primary, a replica of it, and a sentinel that watches both.
pub(crate) struct Watched {
    pub(crate) primary: Valkey,
    pub(crate) replica: Valkey,
    url: String,
    sentinel: Process,
    _folder: TempDir,
}

impl Watched {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let primary = Valkey::start_on_a_port(&[]).await?;
        let port = primary.port().unwrap_or_default();
        let of_primary = format!("127.0.0.1 {port}");
        let settings = ["--replicaof", &of_primary, "--repl-diskless-sync-delay", "0"];
        let replica = Valkey::start_on_a_port(&settings).await?;
        let (_folder, sentinel, url) = sentinel(port).await?;
        Ok(Self {
            primary,
            replica,
            url,
            sentinel,
            _folder,
        })
    }

    pub(crate) fn config(&self, deadline: Duration) -> ValkeyConfig {
        ValkeyConfig {
            topology: Topology::Sentinel {
                service: "tokenward".to_owned(),
                more_sentinels: Vec::new(),
                sentinel_password: None,
            },
            ..config(self.url.clone(), deadline)
        }
    }

    /// Waits until the sentinel knows which replica to promote and that replica has all that was written.
    pub(crate) async fn ready_to_fail_over(&self) -> anyhow::Result<()> {
        let log = self.sentinel.log();
        log.wait_for_line(|line| line.contains("+slave"), LONG_DEADLINE)
            .await?;
        self.replica.catches_up_with(&self.primary, LONG_DEADLINE).await
    }
}

async fn sentinel(primary: u16) -> anyhow::Result<(TempDir, Process, String)> {
    let (folder, port) = (TempDir::with_prefix("tokenward-sentinel-")?, ports::free_port()?);
    let settings = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor tokenward 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds tokenward 300\nsentinel failover-timeout tokenward 2000\n"
    );
    let file = write_file(&folder, "sentinel.conf", settings)?;
    let arguments = [file.display().to_string(), "--sentinel".to_owned()];
    let process = Process::start(&ProcessSpec::new("sentinel", tools::valkey_server()?, arguments))?;
    process
        .log()
        .wait_for_line(|line| line.contains("+monitor master"), LONG_DEADLINE)
        .await?;
    never_doubt_the_clock(port).await?;
    Ok((folder, process, format!("redis://127.0.0.1:{port}/0")))
}

/// A sentinel that got no CPU for two seconds mistrusts its clock and promotes no replica for half a minute.
async fn never_doubt_the_clock(port: u16) -> anyhow::Result<()> {
    const AN_HOUR_MS: &[u8] = b"SENTINEL DEBUG TILT-TRIGGER 3600000\r\n";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(AN_HOUR_MS).await?;
    let mut reply = [0; 64];
    let length = stream.read(&mut reply).await?;
    let reply = String::from_utf8_lossy(&reply[..length]);
    anyhow::ensure!(reply == "+OK\r\n", "SENTINEL DEBUG: {reply}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_holds_behind_sentinel_and_a_failover_is_followed() -> anyhow::Result<()> {
    let mut watched = Watched::start().await?;
    let store = ValkeyStore::connect(watched.config(Duration::from_secs(5))).await?;
    let engine = Engine::of(Arc::new(store), None, (None, None));
    assert_eq!(every_behaviour(&engine).await?, BEHAVIOURS);
    let key = Key::new("failover", "1");
    put(&*engine.store, &key, b"replicated").await?;
    watched.ready_to_fail_over().await?;
    let there = watched
        .replica
        .command(&["EXISTS", "tokenward:{failover:1}"])
        .await?;
    assert_eq!(there, ":1\r\n");
    watched.primary.kill()?;
    eventually("the promoted replica is written to", || async {
        Ok(put(&*engine.store, &Key::new("failover", "2"), b"after")
            .await
            .is_ok())
    })
    .await?;
    assert_eq!(
        engine.store.read(&key).await?.map(|entry| entry.value),
        Some(b"replicated".to_vec())
    );
    Ok(())
}
