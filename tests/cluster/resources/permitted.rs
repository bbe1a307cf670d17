//! What the chart's ServiceAccount may do and what it may not, and that control itself asks for nothing else.

use std::collections::BTreeSet;

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokenward_harness::parts::Control;
use tokenward_harness::parts::cluster::{ApiServer, KubeClient};

use super::{RELEASE_NAMESPACE, Stage, exchanging, forwarding, learn, until};

const OWN: &str = "permitted";
const MUSTER: &str = "/apis/muster.giantswarm.io/v1alpha1";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/mcp/leases";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/permitted";
const SECRETS: &str = "/api/v1/namespaces/permitted/secrets";

/// A method and a path.
type Request = (Method, String);

/// What control does: read its kinds and the Secret with the chart's name, report, and hold one Lease.
fn allowed() -> Vec<Request> {
    let own = format!("{MUSTER}/namespaces/{OWN}/mcpservers");
    vec![
        (Method::GET, own.clone()),
        (Method::PATCH, format!("{own}/far/status")),
        (
            Method::GET,
            format!("/apis/toolhive.stacklok.dev/v1beta1/namespaces/{OWN}/mcpremoteproxies"),
        ),
        (
            Method::GET,
            format!("{SECRETS}?fieldSelector=metadata.name%3Dcredentials"),
        ),
        (
            Method::POST,
            format!("/apis/events.k8s.io/v1/namespaces/{OWN}/events"),
        ),
        (Method::POST, LEASES.to_owned()),
        (Method::GET, format!("{LEASES}/{OWN}-resources")),
        (Method::PUT, format!("{LEASES}/{OWN}-resources")),
    ]
}

/// One request for each way to read more, to write what belongs to others, and to widen its own rights.
fn forbidden() -> Vec<Request> {
    let servers = |namespace: &str| format!("{MUSTER}/namespaces/{namespace}/mcpservers");
    let role = format!("{ROLES}/roles/{OWN}-resources");
    let all_of = |path: &str, methods: &[Method]| -> Vec<Request> {
        let one = |method: &Method| (method.clone(), path.to_owned());
        methods.iter().map(one).collect()
    };
    let (get, post, put, patch, delete) = (
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    );
    [
        // Secrets: any but the named, in any other way, and all at once.
        all_of(SECRETS, &[get.clone(), post.clone(), delete.clone()]),
        all_of(
            &format!("{SECRETS}?fieldSelector=metadata.name%3Dnot-ours"),
            &[get.clone()],
        ),
        all_of(
            &format!("{SECRETS}/credentials"),
            &[get.clone(), put.clone(), patch.clone(), delete.clone()],
        ),
        all_of("/api/v1/namespaces/mcp/secrets", &[get.clone()]),
        all_of("/api/v1/namespaces/kube-system/secrets", &[get.clone()]),
        all_of("/api/v1/secrets", &[get.clone()]),
        // Resources of its kinds: not written, and not read elsewhere.
        all_of(&servers(OWN), &[post.clone(), delete.clone()]),
        all_of(
            &format!("{}/far", servers(OWN)),
            &[get.clone(), put.clone(), patch.clone(), delete.clone()],
        ),
        all_of(
            &format!("{}/far/status", servers(OWN)),
            &[get.clone(), put.clone()],
        ),
        all_of(&servers("default"), &[get.clone()]),
        all_of(&format!("{MUSTER}/mcpservers"), &[get.clone()]),
        // Leases but its own, and the end of its own.
        all_of(LEASES, &[get.clone(), delete.clone()]),
        all_of(&format!("{LEASES}/not-ours"), &[get.clone(), put.clone()]),
        all_of(
            &format!("{LEASES}/{OWN}-resources"),
            &[patch.clone(), delete.clone()],
        ),
        // Events: written, never read.
        all_of(
            &format!("/apis/events.k8s.io/v1/namespaces/{OWN}/events"),
            &[get.clone(), delete.clone()],
        ),
        all_of(
            "/apis/events.k8s.io/v1/namespaces/default/events",
            &[post.clone()],
        ),
        // Rights.
        all_of(&role, &[get.clone(), put.clone(), patch.clone(), delete.clone()]),
        all_of(&format!("{ROLES}/rolebindings"), &[get.clone(), post.clone()]),
        all_of(
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            &[post.clone()],
        ),
        all_of(
            &format!("/api/v1/namespaces/mcp/serviceaccounts/{OWN}/token"),
            &[post.clone()],
        ),
        // The rest of the cluster.
        all_of("/api/v1/namespaces", &[get.clone(), post.clone()]),
        all_of("/api/v1/namespaces/mcp/configmaps", &[get.clone(), post.clone()]),
        all_of("/api/v1/namespaces/mcp/pods", &[get.clone()]),
        all_of(
            "/apis/apps/v1/namespaces/mcp/deployments",
            &[get.clone(), post.clone()],
        ),
        all_of(
            "/apis/gateway.networking.k8s.io/v1/namespaces/mcp/httproutes",
            &[get, post],
        ),
    ]
    .concat()
}

/// The answer's status; nothing is changed.
async fn status(client: &KubeClient, (method, path): &Request) -> anyhow::Result<u16> {
    if *method == Method::GET {
        return Ok(client.ask(Method::GET, path, None).await?.status);
    }
    let kind = if *method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let path = format!("{path}?dryRun=All");
    // Rights are looked at before the content. A deletion's options are those of its body, where it has one.
    let body = if *method == Method::DELETE {
        json!({"dryRun": ["All"]})
    } else {
        json!({})
    };
    let answer = client.ask(method.clone(), &path, Some((kind, body.to_string())));
    Ok(answer.await?.status)
}

/// The Lease and the Secret of others, which the requests name.
async fn put_others(stage: &Stage) -> anyhow::Result<()> {
    stage.put_secret("not-ours", "hidden").await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "not-ours", "namespace": RELEASE_NAMESPACE}, "spec": {"holderIdentity": "another"},
    });
    stage.client.apply(&lease).await.map(drop)
}

/// Control at work until it has asked for everything: a server, a missing Secret that comes, a condition, an Event.
async fn work(stage: &Stage) -> anyhow::Result<Control> {
    stage.apply("far", &exchanging("/far", "credentials")).await?;
    let mut bad = forwarding("/bad");
    bad["auth"]["requiredAudiences"] = json!(["not an audience"]);
    stage.apply("bad", &bad).await?;
    let proxy = json!({
        "apiVersion": "toolhive.stacklok.dev/v1beta1", "kind": "MCPRemoteProxy",
        "metadata": {"name": "github", "namespace": OWN},
        "spec": {"remoteUrl": "https://api.example.com/mcp", "oidcConfigRef": {
            "name": "dex", "audience": "not an audience", "resourceUrl": "https://mcp.example.com/github",
        }},
    });
    stage.client.apply(&proxy).await?;
    let control = Control::start(stage.config()).await?;
    until(|| stage.events("bad"), |events| !events.is_empty()).await?;
    stage.put_secret("credentials", "first").await?;
    learn(&control, &["far"]).await?;
    Ok(control)
}

/// `VERB RESOURCE.GROUP` of control's own requests so far; it is refused none.
fn used(server: &ApiServer) -> anyhow::Result<BTreeSet<String>> {
    let user = format!("system:serviceaccount:{RELEASE_NAMESPACE}:{OWN}");
    let mut used = BTreeSet::new();
    for request in server.requests_of(&user)? {
        anyhow::ensure!(request.status != 403, "{request:?}");
        used.insert(format!("{} {}.{}", request.verb, request.resource, request.group));
    }
    Ok(used)
}

/// All that control asks for. `patch events` is for a finding that comes back, `mcpservers/status` for a CRD with a map of
/// conditions: neither is met here.
const USED: [&str; 12] = [
    "create events.events.k8s.io",
    "create leases.coordination.k8s.io",
    "get leases.coordination.k8s.io",
    "list mcpremoteproxies.toolhive.stacklok.dev",
    "list mcpservers.muster.giantswarm.io",
    "list secrets.",
    "patch mcpremoteproxies/status.toolhive.stacklok.dev",
    "update leases.coordination.k8s.io",
    "watch mcpremoteproxies.toolhive.stacklok.dev",
    "watch mcpservers.muster.giantswarm.io",
    "watch secrets.",
    "patch events.events.k8s.io",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_account_may_do_what_control_does_and_nothing_else() -> anyhow::Result<()> {
    let server = ApiServer::shared().await?;
    let stage = Stage::new(server, OWN).await?;
    put_others(&stage).await?;
    let control = work(&stage).await?;
    let required = USED.len() - 1;
    let seen = until(
        async || used(server),
        |seen| USED[..required].iter().all(|right| seen.contains(*right)),
    )
    .await?;
    let beyond: Vec<&String> = seen
        .iter()
        .filter(|right| !USED.contains(&right.as_str()))
        .collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    drop(control);

    // Afterwards, so that these requests do not count as control's.
    let admin = &stage.client;
    let token = admin.service_account_token(RELEASE_NAMESPACE, OWN).await?;
    let account = server.client_of(&token)?;
    let (allowed, forbidden) = (allowed(), forbidden());
    for (requests, may) in [(&allowed, true), (&forbidden, false)] {
        for request in requests {
            // What the administrator cannot do either shows nothing: a path that is not there, for one.
            let possible = status(admin, request).await?;
            assert!(![403, 404, 405].contains(&possible), "{request:?}: {possible}");
            let answered = status(&account, request).await?;
            assert_eq!(answered != 403, may, "{request:?}: {answered}");
        }
    }
    let list = format!("{MUSTER}/namespaces/{OWN}/mcpservers");
    let as_another = account.acting_as("admin").ask(Method::GET, &list, None).await?;
    assert_eq!(as_another.status, 403, "{}", as_another.message());
    // Nothing of all that has changed anything.
    let far: Option<Value> = admin.get(stage.named("far")).await?;
    far.context("no server any more")?;
    println!(
        "{} requests allowed, {} forbidden",
        allowed.len(),
        forbidden.len() + 1
    );
    assert_eq!((allowed.len(), forbidden.len() + 1), (8, 48));
    Ok(())
}
