//! When an Envoy that was started takes requests.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;

use super::process::LOOK_AGAIN;
use super::{EnvoyConfig, Metrics, Process};
use crate::issuer::jose::http_client;

/// Generous: V8 compiles the filter for every worker, and the machine may be busy.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// VMs of a module beside those of the workers: Envoy's base VM and the main thread's (a canary comes and goes).
const VMS_BESIDE_WORKERS: u64 = 2;

/// Waits until Envoy is ready, has its listener, and every worker has its VM of the filter: an Envoy is ready before
/// its workers have been through their first loop. Tells the addresses of the admin interface and of the listener.
///
/// # Errors
/// When Envoy ends, has no listener, or takes longer than a minute.
pub(super) async fn wait_until_started(
    process: &mut Process,
    config: &EnvoyConfig,
    address_file: &Path,
) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let limit = Instant::now() + STARTS_WITHIN;
    let admin = wait_for(process, limit, "ready", || ready_admin(address_file)).await?;
    let listener = listener_address(admin).await?;
    if config.filter.is_some() && config.module_from_control.is_none() {
        let expected = config.workers as u64 + VMS_BESIDE_WORKERS;
        wait_for(process, limit, "in possession of all VMs", || {
            has_vms(admin, expected)
        })
        .await?;
    }
    Ok((admin, listener))
}

async fn wait_for<T, F: Future<Output = Option<T>>>(
    process: &mut Process,
    limit: Instant,
    what: &str,
    look: impl Fn() -> F,
) -> anyhow::Result<T> {
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        process.ensure_running()?;
        if Instant::now() > limit {
            bail!(
                "Envoy is not {what} within {STARTS_WITHIN:?}:\n{}",
                process.log().tail(30)
            );
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn ready_admin(address_file: &Path) -> Option<SocketAddr> {
    let written = std::fs::read_to_string(address_file).unwrap_or_default();
    let address = written.trim().parse::<SocketAddr>().ok()?;
    let answer = http_client().get(format!("http://{address}/ready")).send().await;
    answer
        .is_ok_and(|answer| answer.status().is_success())
        .then_some(address)
}

async fn has_vms(admin: SocketAddr, expected: u64) -> Option<()> {
    let answer = http_client()
        .get(format!("http://{admin}/stats/prometheus"))
        .send()
        .await
        .ok()?;
    let metrics = Metrics::read(&answer.text().await.ok()?);
    (metrics.count("envoy_wasm_envoy_wasm_runtime_v8_active", &[]) >= expected).then_some(())
}

async fn listener_address(admin: SocketAddr) -> anyhow::Result<SocketAddr> {
    let url = format!("http://{admin}/listeners?format=json");
    let document: Value = http_client()
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?;
    let address = &document["listener_statuses"][0]["local_address"]["socket_address"];
    let (host, port) = (address["address"].as_str(), address["port_value"].as_u64());
    let (Some(host), Some(port)) = (host, port) else {
        bail!("Envoy has no listener: {document}")
    };
    Ok(format!("{host}:{port}").parse()?)
}
