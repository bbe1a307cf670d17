//! The Valkey engine on a Cluster and behind Sentinel: the same list of behaviours, and a failover.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::Key;
use tokenward_control::store::valkey::{Topology, ValkeyConfig, ValkeyStore};
use tokenward_tests::parts::{Process, ProcessSpec, TempFolder, Valkey, ports, tools};

use super::engine::{Engine, LONG_DEADLINE, config};
use super::{eventually, every_behaviour, put};

const BEHAVIOURS: usize = 29;

async fn cluster_node(first_slot: u16, last_slot: u16) -> anyhow::Result<Valkey> {
    let bus = ports::free_port()?.to_string();
    let node = Valkey::start_on_a_port(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await?;
    let slots = [first_slot.to_string(), last_slot.to_string()];
    let reply = node
        .command(&["CLUSTER", "ADDSLOTSRANGE", &slots[0], &slots[1]])
        .await?;
    anyhow::ensure!(reply == "+OK\r\n", "{reply}");
    let bus_of = node
        .command(&["CONFIG", "SET", "cluster-announce-ip", "127.0.0.1"])
        .await?;
    anyhow::ensure!(bus_of == "+OK\r\n", "{bus_of}");
    Ok(node)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_holds_on_a_cluster_of_two() -> anyhow::Result<()> {
    let (low, high) = (cluster_node(0, 8191).await?, cluster_node(8192, 16383).await?);
    let high_port = high.port().unwrap_or_default().to_string();
    let bus = high.command(&["CONFIG", "GET", "cluster-port"]).await?;
    let bus_port = bus
        .trim_end()
        .rsplit("\r\n")
        .next()
        .unwrap_or_default()
        .to_owned();
    low.command(&["CLUSTER", "MEET", "127.0.0.1", &high_port, &bus_port])
        .await?;
    for node in [&low, &high] {
        eventually("the cluster is whole", || async {
            // A key of the other's slots is answered with a redirection once all slots are known to be served.
            let replies = [
                node.command(&["GET", "a"]).await?,
                node.command(&["GET", "b"]).await?,
            ];
            Ok(!replies.iter().any(|reply| reply.contains("CLUSTERDOWN")))
        })
        .await?;
    }
    let store = ValkeyStore::connect(ValkeyConfig {
        topology: Topology::Cluster {
            more_nodes: vec![high.url()],
        },
        ..config(low.url(), LONG_DEADLINE)
    })
    .await?;
    let engine = Engine::of(Arc::new(store), None, (None, None));
    assert_eq!(every_behaviour(&engine).await?, BEHAVIOURS);
    for node in [&low, &high] {
        let size = node.command(&["DBSIZE"]).await?;
        assert_ne!(size, ":0\r\n", "each node has its share");
    }
    Ok(())
}

async fn sentinel(primary: u16) -> anyhow::Result<(TempFolder, Process, String)> {
    let (folder, port) = (TempFolder::new("sentinel")?, ports::free_port()?);
    let settings = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor tokenward 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds tokenward 300\nsentinel failover-timeout tokenward 2000\n"
    );
    let file = folder.write("sentinel.conf", settings)?;
    let arguments = [file.display().to_string(), "--sentinel".to_owned()];
    let process = Process::start(&ProcessSpec::new("sentinel", tools::valkey_server()?, arguments))?;
    process
        .log()
        .wait_for_line(|line| line.contains("+monitor master"), LONG_DEADLINE)
        .await?;
    Ok((folder, process, format!("redis://127.0.0.1:{port}/0")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_behaviour_holds_behind_sentinel_and_a_failover_is_followed() -> anyhow::Result<()> {
    let mut primary = Valkey::start_on_a_port(&[]).await?;
    let port = primary.port().unwrap_or_default();
    let replica = Valkey::start_on_a_port(&[
        "--replicaof",
        &format!("127.0.0.1 {port}"),
        "--repl-diskless-sync-delay",
        "0",
    ])
    .await?;
    let (_folder, process, url) = sentinel(port).await?;
    let store = ValkeyStore::connect(ValkeyConfig {
        topology: Topology::Sentinel {
            service: "tokenward".to_owned(),
            more_sentinels: Vec::new(),
            sentinel_password: None,
        },
        ..config(url, Duration::from_secs(5))
    })
    .await?;
    let engine = Engine::of(Arc::new(store), None, (None, None));
    assert_eq!(every_behaviour(&engine).await?, BEHAVIOURS);
    let key = Key::new("failover", "1");
    put(&*engine.store, &key, b"replicated").await?;
    eventually("the replica has it", || async {
        Ok(replica.command(&["EXISTS", "tokenward:{failover:1}"]).await? == ":1\r\n")
    })
    .await?;
    process
        .log()
        .wait_for_line(|line| line.contains("+slave"), LONG_DEADLINE)
        .await?;
    primary.kill()?;
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
