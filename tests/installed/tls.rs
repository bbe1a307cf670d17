//! TLS to control as the chart sets it up, run by a real Envoy Gateway: the filter's calls, and its own fetch of the module.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokenward_harness::parts::{Authority, ControlTls, MountedSecret, ports};
use tokenward_harness::world::{ALICE, LOCAL, World};

/// The name that Envoy verifies, and the address by which Envoy Gateway fetches the module.
const NAMES: [&str; 2] = ["tokenward.mcp.svc.cluster.local", "127.0.0.1"];
const CLIENT: &str = "envoy.gateways.svc";

/// How the chart connects the filter to control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Patch,
    Route,
    /// By the route, with client certificates.
    Mutual,
}

fn tls_secret(name: &str, certificate: &str, key: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": "mcp"},
        "data": {"tls.crt": STANDARD.encode(certificate), "tls.key": STANDARD.encode(key)},
    })
}

async fn a_stale_token_is_replaced(way: Way) -> anyhow::Result<()> {
    let authority = Authority::new("an authority")?;
    let (pair, client) = (authority.pair(&NAMES)?, authority.pair(&[CLIENT])?);
    let ca = authority.pem();
    let files = [
        ("tls.crt", pair.certificate.as_str()),
        ("tls.key", &pair.key),
        ("ca.crt", &ca),
    ];
    let secret = MountedSecret::mount(&files)?;
    let mut listener = json!({
        "certificate": {"file": secret.path("tls.crt")}, "key": {"file": secret.path("tls.key")}, "names": NAMES,
    });
    let mut values = json!({"enabled": true, "secretName": "control-tls", "ca": ca, "serverName": NAMES[0]});
    if way == Way::Mutual {
        listener["client_ca"] = json!({"file": secret.path("ca.crt")});
        listener["client_names"] = json!([CLIENT]);
        values["clientCaRef"] = json!({"name": "clients"});
        values["clientCertificateRef"] = json!({"name": "envoy-client"});
    }
    let tls = ControlTls {
        listener,
        authority: ca.clone(),
        name: NAMES[0].to_owned(),
        client: Some(client.clone()),
    };
    let story = format!("TLS to control, {way:?}");
    let started =
        World::start_installable_at(&story, ports::free_port()?, |builder| builder.control_tls(tls));
    let Some((world, installation)) = started.await? else {
        return Ok(());
    };
    let mut installation = installation
        .value("/control", json!({"tls": values}))?
        .document(&tls_secret("envoy-client", &client.certificate, &client.key));
    if way != Way::Patch {
        installation = installation
            .value("/gateway/controlCluster", "route")?
            .value("/gateway/failReload", false)?;
    }
    let gateway = world.install(&installation).await?;
    let alice = world.log_in_an_hour_ago(ALICE).await?;
    let answer = world.call(LOCAL).at(&gateway.url()).login(&alice).send().await?;
    assert_eq!(answer.status, 200, "{way:?}: {answer:?}");
    assert_eq!(world.tally().refreshes, 1);
    let handshakes = world.control.metrics().await?;
    let failed = [("cause", "no_handshake")];
    assert_eq!(handshakes.count("tokenward_connections_closed_total", &failed), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filters_own_cluster_uses_tls() -> anyhow::Result<()> {
    a_stale_token_is_replaced(Way::Patch).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_of_the_route_uses_tls() -> anyhow::Result<()> {
    a_stale_token_is_replaced(Way::Route).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_of_the_route_presents_a_client_certificate() -> anyhow::Result<()> {
    a_stale_token_is_replaced(Way::Mutual).await
}
