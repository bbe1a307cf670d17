//! The installations that the documentation describes, and a user with the rights that it states and no others.

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{ApiServer, Helm, KubeClient};
use tokenward_tests::pages::{blocks, document, pages};

/// The release of all installations.
pub(crate) const RELEASE: &str = "tokenward";
pub(crate) const CHART: &str = "envoy/chart";

/// The values of an aggregator's installation, and of one at which MCP clients log in.
const EXAMPLES: [&str; 2] = ["envoy/gateway/values.yaml", "envoy/gateway/login-values.yaml"];
/// One in form.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";

/// Stands for the installer's own namespace in values.
pub(crate) const NAMESPACE: &str = "its-own-namespace";

/// Values by the name of their example.
pub(crate) type Example = (String, Value);

/// A user with the page's Role in one namespace.
pub(crate) struct Installer {
    pub(crate) user: String,
    pub(crate) namespace: String,
    pub(crate) helm: Helm,
}

impl Installer {
    /// Makes the namespace, and binds the Role there to a user of the same name.
    pub(crate) async fn new(server: &ApiServer, namespace: &str, role: &Value) -> anyhow::Result<Self> {
        let admin = server.client()?;
        admin.create_namespace(namespace).await?;
        bind(&admin, namespace, role, namespace).await?;
        Ok(Self {
            user: namespace.to_owned(),
            namespace: namespace.to_owned(),
            helm: Helm::new(&server.kubeconfig_as(namespace), namespace)?,
        })
    }
}

/// Binds a Role, put into the namespace, to a user.
pub(crate) async fn bind(
    admin: &KubeClient,
    namespace: &str,
    role: &Value,
    user: &str,
) -> anyhow::Result<()> {
    let mut role = role.clone();
    role["metadata"]["namespace"] = json!(namespace);
    let name = &role["metadata"]["name"];
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    admin.apply(&role).await?;
    admin.apply(&binding).await?;
    Ok(())
}

/// The Roles of the chart's page: that of every installer, and a further one where control reads resources.
pub(crate) fn roles() -> anyhow::Result<[Value; 2]> {
    let found = blocks("envoy/chart/README.md", "yaml")?;
    let found = found.iter().filter(|block| block.contains("kind: Role\n"));
    let roles: Vec<Value> = found
        .map(|block| serde_saphyr::from_str(block))
        .collect::<Result<_, _>>()?;
    roles.try_into().ok().context("two Roles")
}

/// The values of a file of the repository.
pub(crate) fn values(path: &str) -> anyhow::Result<Value> {
    Ok(serde_saphyr::from_str(&document(path)?)?)
}

/// Everything that the documentation installs: both examples, each block of a page that is values on the example that it
/// belongs to, and what no page shows as a whole.
pub(crate) fn examples() -> anyhow::Result<Vec<Example>> {
    let mut examples: Vec<Example> = Vec::new();
    for path in EXAMPLES {
        examples.push((path.to_owned(), values(path)?));
    }
    let (aggregator, login) = (examples[0].1.clone(), examples[1].1.clone());
    for page in pages()? {
        for (number, block) in value_blocks(&page)?.into_iter().enumerate() {
            // The page adds the authority from a file: `--set-file control.tls.ca=ca.crt`.
            let block = if block["control"]["tls"].is_object() {
                merged(&json!({"control": {"tls": {"ca": CERTIFICATE}}}), &block)
            } else {
                block
            };
            let base = if page.ends_with("login.md") {
                &login
            } else {
                &aggregator
            };
            examples.push((format!("{page} {number}"), merged(base, &block)));
        }
    }
    examples.push(("everything".to_owned(), merged(&aggregator, &everything())));
    examples.push((
        "servers from resources".to_owned(),
        merged(&aggregator, &from_resources()),
    ));
    let elsewhere = json!({"gateway": {"namespace": "installer-gateways"}});
    examples.push((
        "the Gateway elsewhere".to_owned(),
        merged(&aggregator, &elsewhere),
    ));
    examples.push(("one replica".to_owned(), merged(&login, &one_replica())));
    let first = json!({"gateway": {"enabled": false}});
    examples.push(("before the gateway".to_owned(), merged(&aggregator, &first)));
    Ok(examples)
}

/// The blocks of a page whose keys are values of the chart, and no whole resources.
fn value_blocks(page: &str) -> anyhow::Result<Vec<Value>> {
    let known = values("envoy/chart/values.yaml")?;
    let is_value = |block: &Value| {
        let keys = block.as_object().into_iter().flat_map(serde_json::Map::keys);
        let known = known.as_object().into_iter().flatten();
        let known: Vec<&String> = known.map(|(key, _)| key).collect();
        block["kind"].is_null() && keys.into_iter().all(|key| known.contains(&key))
    };
    let mut found = Vec::new();
    for block in blocks(page, "yaml")? {
        let block: Value = serde_saphyr::from_str(&block).context(page.to_owned())?;
        // Control's own configuration has some of the same words.
        let of_control = ["/console/client_id", "/issuers/0/client_id"];
        if is_value(&block) && of_control.iter().all(|field| block.pointer(field).is_none()) {
            found.push(block);
        }
    }
    Ok(found)
}

/// As Helm joins values: maps are joined, everything else is replaced.
pub(crate) fn merged(base: &Value, over: &Value) -> Value {
    let (Value::Object(base), Value::Object(over)) = (base, over) else {
        return over.clone();
    };
    let mut joined = base.clone();
    for (key, value) in over {
        let value = joined
            .get(key)
            .map_or_else(|| value.clone(), |base| merged(base, value));
        joined.insert(key.clone(), value);
    }
    Value::Object(joined)
}

/// Every switch of the chart that goes with others.
fn everything() -> Value {
    json!({
        "issuers": [{
            "issuer": "https://dex.example.com", "clientId": "muster", "tokenEndpoint": "http://dex.dex.svc.cluster.local:5556/token",
            "clientSecretRef": {"name": "tokenward-dex", "key": "client-secret"},
            "relay": {"route": {"failover": true, "onlyThisClient": true}},
        }],
        "authorization": {
            "issuer": "https://login.example.com",
            "signingKeys": {"current": {"name": "tokenward-signing-keys", "key": "current.pem"}},
        },
        "console": {
            "publicUrl": "https://tokenward.example.com", "issuer": "https://dex.example.com", "clientId": "console",
            "groups": ["sre"], "route": {"parentRefs": [{"name": "operators"}]},
        },
        "control": {"tls": {
            "enabled": true, "ca": CERTIFICATE,
        }},
        "gateway": {"controlCluster": "route"},
        "autoscaling": {"enabled": true},
        "grafanaDashboard": {"enabled": true},
    })
}

fn from_resources() -> Value {
    json!({"kubernetes": {
        "enabled": true, "resources": [{"namespaces": [NAMESPACE]}], "exchangeHosts": ["dex.remote.example.com"],
    }})
}

fn one_replica() -> Value {
    json!({
        "store": {"valkey": {"enabled": false}, "embedded": {"enabled": true}},
        "replicaCount": 1,
    })
}
