//! Samples that exist before anything happens, durations, the build and the process.

use std::process;
use std::time::Duration;

use serde_json::json;
use tokenward_harness::parts::Metrics;

use crate::deployment::{Deployment, Plan};
use crate::traffic::metrics;

const PATIENCE: Duration = Duration::from_secs(30);

/// The one sample of `name` with these labels.
fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let found: Vec<_> = metrics
        .samples()
        .iter()
        .filter(|sample| {
            sample.name == name
                && labels
                    .iter()
                    .all(|(label, value)| sample.label(label) == Some(value))
        })
        .collect();
    let [sample] = &found[..] else {
        panic!("{} samples of {name} {labels:?}", found.len())
    };
    sample.value
}

fn exchanging(name: &str) -> serde_json::Value {
    json!({
        "name": name,
        "auth": {"type": "oauth", "requiredAudiences": ["kube"], "tokenExchange": {
            "enabled": true, "dexTokenEndpoint": "https://remote.example.com/token",
            "expectedIssuer": "https://remote.example.com", "connectorId": "home",
            "clientCredentials": {"clientId": "kube", "clientSecret": {"file": "@remote"}},
        }},
    })
}

#[tokio::test]
async fn what_the_configuration_names_is_counted_from_nought() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        servers: vec![exchanging("remote")],
        secrets: vec![("remote".to_owned(), "a-secret-of-the-remote".to_owned())],
        ..Plan::default()
    })
    .await?;
    let seen = metrics(&deployment).await?;
    for server in ["kubernetes", "remote"] {
        for outcome in ["token", "needs_login", "busy", "issuer_misconfigured"] {
            let labels = [("server", server), ("outcome", outcome)];
            assert_eq!(value(&seen, "tokenward_token_requests_total", &labels), 0.0);
        }
    }
    for outcome in ["exchanged", "exchange_misconfigured", "substitution"] {
        let labels = [("server", "remote"), ("outcome", outcome)];
        assert_eq!(value(&seen, "tokenward_exchanges_total", &labels), 0.0);
    }
    assert_eq!(
        seen.sum("tokenward_exchanges_total", &[("server", "kubernetes")]),
        0.0
    );
    let home = deployment.dex.issuer();
    for outcome in ["refreshed", "substitution", "put_back", "lost", "suspect"] {
        let labels = [("issuer", home), ("outcome", outcome)];
        assert_eq!(value(&seen, "tokenward_refreshes_total", &labels), 0.0);
    }
    for issuer in [home, "https://remote.example.com"] {
        let labels = [("issuer", issuer), ("reason", "circuit")];
        assert_eq!(
            value(&seen, "tokenward_issuer_calls_held_back_total", &labels),
            0.0
        );
        let circuit = value(&seen, "tokenward_issuer_circuit_open", &[("issuer", issuer)]);
        assert_eq!(circuit, 0.0);
    }
    for (name, label, what) in [
        ("tokenward_store_errors_total", "operation", "write"),
        ("tokenward_connections_closed_total", "cause", "full"),
        ("tokenward_requests_unread_total", "cause", "no_room"),
        ("tokenward_session_changes_total", "change", "created"),
        ("tokenward_config_reloads_total", "outcome", "rejected"),
    ] {
        assert_eq!(value(&seen, name, &[(label, what)]), 0.0, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_of_a_later_configuration_is_counted_from_nought_too() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        secrets: vec![("remote".to_owned(), "a-secret-of-the-remote".to_owned())],
        ..Plan::default()
    })
    .await?;
    let labels = [("server", "later"), ("outcome", "token")];
    let name = "tokenward_token_requests_total";
    let count = |seen: &Metrics| {
        let samples = seen.samples().iter();
        let of_later = samples.filter(|sample| sample.label("server") == Some("later"));
        of_later.count()
    };
    assert_eq!(count(&metrics(&deployment).await?), 0);
    let config = deployment.changed(|document| {
        let servers = document["servers"].as_array_mut().expect("servers");
        let mut later = servers[0].clone();
        later["name"] = json!("later");
        servers.push(later);
    })?;
    tokenward_control::serve::reload::apply(deployment.service(0), config)?;
    assert_eq!(value(&metrics(&deployment).await?, name, &labels), 0.0);
    Ok(())
}

#[tokio::test]
async fn answers_and_store_operations_are_timed() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    for _ in 0..3 {
        assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    }
    deployment.end("s-1").await?;
    let refused = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(refused.refusal(), (400, "unknown_session"));
    let seen = metrics(&deployment).await?;
    let answers = |result| {
        value(
            &seen,
            "tokenward_token_request_seconds_count",
            &[("result", result)],
        )
    };
    assert_eq!((answers("token"), answers("refused")), (3.0, 1.0));
    let spent = value(
        &seen,
        "tokenward_token_request_seconds_sum",
        &[("result", "token")],
    );
    assert!(spent > 0.0 && spent < 60.0, "{spent} s");
    let reads = [("operation", "read")];
    assert!(value(&seen, "tokenward_store_operation_seconds_count", &reads) >= 4.0);
    assert_eq!(value(&seen, "tokenward_store_errors_total", &reads), 0.0);
    Ok(())
}

#[tokio::test]
async fn a_failed_operation_is_timed_and_counted_once() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    // The login is recorded in the background.
    assert!(deployment.service(0).drain(PATIENCE).await);
    let before = metrics(&deployment).await?;
    deployment.store().set_off(true);
    let refused = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(refused.refusal(), (503, "store_unavailable"));
    let after = metrics(&deployment).await?;
    let more = |name| after.sum(name, &[]) - before.sum(name, &[]);
    let failed = more("tokenward_store_errors_total");
    assert!(failed >= 1.0);
    assert_eq!(more("tokenward_store_operation_seconds_count"), failed);
    Ok(())
}

#[tokio::test]
async fn the_build_and_the_process_are_named_as_prometheus_names_them() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let seen = metrics(&deployment).await?;
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value(&seen, "tokenward_build_info", &version), 1.0);
    if !cfg!(target_os = "linux") {
        tokenward_harness::aloud!("left out: metrics of the process: this is not Linux");
        return Ok(());
    }
    let now_seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)?
        .as_secs_f64();
    let started = value(&seen, "process_start_time_seconds", &[]);
    assert!(
        (now_seconds - started).abs() < 24.0 * 3600.0,
        "{started}, and it is {now_seconds}"
    );
    let resident = value(&seen, "process_resident_memory_bytes", &[]);
    let stated = std::fs::read_to_string(format!("/proc/{}/status", process::id()))?;
    let stated_kib: f64 = stated
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
        .ok_or_else(|| anyhow::anyhow!("no VmRSS"))?
        .parse()?;
    let ratio = resident / (stated_kib * 1024.0);
    assert!((0.5..2.0).contains(&ratio), "{resident} bytes, {stated_kib} KiB");
    assert!(value(&seen, "process_cpu_seconds_total", &[]) > 0.0);
    let open = value(&seen, "process_open_fds", &[]);
    assert!(
        open >= 3.0 && open < value(&seen, "process_max_fds", &[]),
        "{open}"
    );
    Ok(())
}
