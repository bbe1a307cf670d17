//! A server that is added by one resource and a route, and a sign-out, at a real Envoy: each in force within ten seconds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::cluster::{ApiServer, Named};
use tokenward_harness::parts::write_file;
use tokenward_harness::world::{ALICE, CLIENT, Call, LOCAL};

use super::installing::{RELEASE, merged};
use super::stage::{GATEWAYS, Stage};

/// The promise, for a server and for a sign-out.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(10);
/// How long a story goes on beyond the promise, so that it can say how late it was.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const NAMESPACE: &str = "added";
const HOST: &str = "mcp.test";
const EARLY: &str = "before-the-release";

/// The ServiceAccount of control as the chart makes it, before there is a release: Helm takes it over.
fn account() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {
            "name": RELEASE, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": NAMESPACE},
        },
    })
}

/// Control's rights before there is a release: it does not start without a first list. The chart's own replace them.
fn early_rights() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": EARLY, "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE}],
    })
}

/// The one resource of a server, and its route without an annotation.
fn server_and_route(port: u16) -> [Value; 2] {
    let auth = json!({"type": "oauth", "forwardToken": true, "requiredAudiences": [CLIENT.0]});
    let rule = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": "/added"}}],
        "filters": [{"type": "URLRewrite", "urlRewrite": {
            "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": format!("/{LOCAL}")},
        }}],
        "backendRefs": [{"name": LOCAL, "port": port}],
    });
    [
        json!({
            "apiVersion": "muster.giantswarm.io/v1alpha1", "kind": "MCPServer",
            "metadata": {"name": "added", "namespace": NAMESPACE},
            "spec": {"type": "streamable-http", "url": format!("https://{HOST}/added/mcp"), "auth": auth},
        }),
        json!({
            "apiVersion": GATEWAYS, "kind": "HTTPRoute", "metadata": {"name": "added", "namespace": NAMESPACE},
            "spec": {"parentRefs": [{"name": "mcp"}], "hostnames": [HOST], "rules": [rule]},
        }),
    ]
}

/// Sends it until the gateway refuses so, and how long that took; what else was answered.
async fn until_refused(call: &Call, refusal: &str) -> anyhow::Result<(Duration, Vec<u16>)> {
    let (begun, mut others) = (Instant::now(), Vec::new());
    loop {
        let answer = call.send().await?;
        if answer.refusal().as_deref() == Some(refusal) {
            return Ok((begun.elapsed(), others));
        }
        others.push(answer.status);
        anyhow::ensure!(begun.elapsed() < PATIENCE, "not {refusal} but {answer:?}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_protects_its_route_and_a_sign_out_holds_within_ten_seconds() -> anyhow::Result<()> {
    let server = ApiServer::shared().await?;
    let client = server.client()?;
    client.create_namespace(NAMESPACE).await?;
    client.apply(&account()).await?;
    client.apply(&early_rights()).await?;
    let token = client.service_account_token(NAMESPACE, RELEASE).await?;
    let folder = TempDir::with_prefix("tokenward-kubeconfig-")?;
    let kubeconfig = write_file(&folder, "kubeconfig", server.kubeconfig_with(&token).to_string())?;
    let section = json!({
        "resources": [{"namespaces": [NAMESPACE]}], "kubeconfig": kubeconfig, "start_wait": "1s",
        "lease": {"namespace": NAMESPACE, "name": format!("{RELEASE}-resources")},
    });
    let stage = Stage::start_with(
        NAMESPACE,
        |builder| builder.control_setting("kubernetes", section),
        |_, values| {
            let resources = json!([{"namespaces": [NAMESPACE]}]);
            merged(
                &values,
                &json!({"kubernetes": {"enabled": true, "resources": resources}}),
            )
        },
    )
    .await?;
    let early = Named {
        api: "rbac.authorization.k8s.io/v1",
        kind: "RoleBinding",
        namespace: NAMESPACE,
        name: EARLY,
    };
    client.delete(early).await?;
    let (world, url) = (&stage.world, stage.envoy.url());
    let added = |login| {
        let call = world.call("added").at(&url).header("host", HOST.as_bytes());
        match login {
            Some(login) => call.login(login),
            None => call,
        }
    };
    let (alice, bob) = (
        world.log_in(ALICE).await?,
        world.log_in_an_hour_ago("bob@example.com").await?,
    );
    assert_eq!(
        added(Some(&alice)).send().await?.status,
        404,
        "there is no such route yet"
    );

    for resource in server_and_route(world.server(LOCAL).address().port()) {
        client.apply(&resource).await?;
    }
    let (protected, others) = until_refused(&added(None), "missing_bearer").await?;
    assert!(others.iter().all(|&status| status == 404), "{others:?}");
    assert_eq!(
        world.upstream_requests(),
        0,
        "nothing passed before it was protected"
    );
    let answers = added(Some(&bob)).send_many(32).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    assert_eq!((world.tally().refreshes, world.rejected_expired()), (1, 0));

    let call = added(Some(&alice));
    assert_eq!(call.send().await?.status, 200);
    world.sign_out(&alice).await?;
    let (signed_out, others) = until_refused(&call, "signed_out").await?;
    assert!(others.iter().all(|&status| status == 200), "{others:?}");
    tokio::time::sleep(IN_FORCE_WITHIN.saturating_sub(signed_out)).await;
    let before = world.upstream_requests();
    // Each on a connection of its own: all four workers answer.
    let answers = call.send_many(64).await?;
    assert!(
        answers.iter().all(|answer| answer.status == 401),
        "{:?}",
        answers[0]
    );
    assert_eq!(world.upstream_requests(), before);
    println!("protected after {protected:?}, signed out after {signed_out:?}");
    assert!(protected < IN_FORCE_WITHIN && signed_out < IN_FORCE_WITHIN);
    Ok(())
}
