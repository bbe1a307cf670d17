//! Whether Envoy and the filter live on: every worker serves, no VM was lost, no request waits for an answer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Login, World};
use crate::issuer::Issuer;

/// Requests per try; more than enough for the kernel to give each of four workers one.
const REQUESTS: usize = 32;
/// The kernel spreads connections by chance.
const TRIES: usize = 10;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Envoy's wasm VMs, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vms {
    /// VMs that live.
    pub active: u64,
    /// VMs that were ever made.
    pub created: u64,
    /// VMs that trapped and were to be created again, whether that succeeded or not.
    pub reloads: u64,
}

impl<I: Issuer> World<I> {
    /// Envoy's VMs now.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn vms(&self) -> anyhow::Result<Vms> {
        let stats = self.envoy.stats().await?;
        let reloads = ["", "_backoff", "_failure", "_success"];
        Ok(Vms {
            active: stats.count("envoy_wasm_envoy_wasm_runtime_v8_active", &[]),
            created: stats.count("envoy_wasm_envoy_wasm_runtime_v8_created", &[]),
            reloads: reloads
                .iter()
                .map(|suffix| stats.count(&format!("envoy_wasm_tokenward_vm_reload{suffix}"), &[]))
                .sum(),
        })
    }

    /// Sends fresh requests until each worker has taken one, and proves that each is answered once and with 200.
    ///
    /// # Errors
    /// When one of them is not, or a worker takes none.
    pub async fn ensure_every_worker_serves(&self, server: &str, fresh: &Login) -> anyhow::Result<()> {
        let before = self.connections_by_worker().await?;
        for _ in 0..TRIES {
            for answer in self.call(server).login(fresh).send_many_alone(REQUESTS).await? {
                ensure!(answer.statuses == [200], "{}", answer.text);
            }
            let after = self.connections_by_worker().await?;
            if before
                .iter()
                .all(|(worker, count)| after.get(worker) > Some(count))
            {
                return Ok(());
            }
        }
        anyhow::bail!(
            "some worker takes no connection: {:?}",
            self.connections_by_worker().await?
        )
    }

    /// Waits until exactly `count` requests are under way in Envoy.
    ///
    /// # Errors
    /// When that does not happen within 40 s.
    pub async fn wait_for_requests_under_way(&self, count: u64) -> anyhow::Result<()> {
        let limit = Instant::now() + Duration::from_secs(40);
        loop {
            let stats = self.envoy.stats().await?;
            let mcp = [("envoy_http_conn_manager_prefix", "mcp")];
            let under_way = stats.count("envoy_http_downstream_rq_active", &mcp);
            if under_way == count {
                return Ok(());
            }
            ensure!(
                Instant::now() < limit,
                "{under_way} requests are under way instead of {count}"
            );
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn connections_by_worker(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let (stats, name) = (
            self.envoy.stats().await?,
            "envoy_listener_worker_downstream_cx_total",
        );
        let label = "envoy_worker_id";
        let workers: BTreeMap<String, u64> = stats
            .samples()
            .iter()
            .filter(|sample| sample.name == name)
            .filter_map(|sample| sample.label(label))
            .map(|worker| (worker.to_owned(), stats.count(name, &[(label, worker)])))
            .collect();
        ensure!(!workers.is_empty(), "Envoy has no {name}");
        Ok(workers)
    }
}
