//! The list of servers: one version for one content on all replicas, and never an older list for a filter.

use serde_json::{Value, json};
use tokenward_control::config::Config;
use tokenward_control::serve::reload::apply;
use tokenward_filter_core::config::FilterConfig;

use super::ask;
use crate::deployment::{Deployment, Plan};

/// A filter that asks replicas by turns, as a load balancer has it.
#[derive(Default)]
struct Filter {
    after: u64,
    version: u64,
    list: Value,
    /// How many lists it took.
    taken: usize,
}

impl Filter {
    async fn ask(&mut self, deployment: &Deployment, replica: usize) -> anyhow::Result<()> {
        let learned = ask(deployment, replica, self.after, self.version).await?;
        self.after = learned.version;
        if let Some((version, list)) = learned.servers {
            assert!(version > self.version, "{version} after {}", self.version);
            (self.version, self.list) = (version, list);
            self.taken += 1;
        }
        Ok(())
    }

    fn names(&self) -> Vec<&str> {
        let servers = self.list["servers"].as_array().into_iter().flatten();
        servers.filter_map(|server| server["name"].as_str()).collect()
    }
}

fn with_servers(deployment: &Deployment, names: &[&str]) -> anyhow::Result<Config> {
    let server = |name: &&str| json!({"name": name, "auth": {"forwardToken": true}});
    let servers: Vec<Value> = names.iter().map(server).collect();
    deployment.changed(|document| document["servers"] = json!(servers))
}

#[tokio::test]
async fn replicas_with_the_same_servers_give_them_under_one_version() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        replicas: 3,
        ..Plan::default()
    })
    .await?;
    let mut filter = Filter::default();
    for round in 0..9 {
        filter.ask(&deployment, round % 3).await?;
    }
    assert_eq!((filter.taken, filter.names()), (1, vec!["kubernetes"]));
    // In another order they are the same.
    apply(deployment.service(0), with_servers(&deployment, &["a", "b"])?)?;
    filter.ask(&deployment, 0).await?;
    apply(deployment.service(1), with_servers(&deployment, &["b", "a"])?)?;
    filter.ask(&deployment, 1).await?;
    assert_eq!((filter.taken, filter.names()), (2, vec!["a", "b"]));
    Ok(())
}

#[tokio::test]
async fn a_rolling_reload_never_takes_a_filter_back() -> anyhow::Result<()> {
    let mut deployment = Deployment::start(Plan {
        replicas: 3,
        ..Plan::default()
    })
    .await?;
    let mut filter = Filter::default();
    for replica in 0..3 {
        filter.ask(&deployment, replica).await?;
    }
    for replica in 0..3 {
        apply(
            deployment.service(replica),
            with_servers(&deployment, &["kubernetes", "new"])?,
        )?;
        deployment
            .service(replica)
            .service()
            .publish_for_filters()
            .await?;
        for round in 0..6 {
            filter.ask(&deployment, (replica + round) % 3).await?;
            assert_eq!(
                filter.names(),
                ["kubernetes", "new"],
                "replica {replica}, round {round}"
            );
        }
    }
    assert_eq!(filter.taken, 2);
    // One that starts with the old file has the last word, as its operator wants it.
    let old = deployment.add_replica().await?;
    filter.ask(&deployment, old).await?;
    assert_eq!(filter.names(), ["kubernetes"]);
    Ok(())
}

#[tokio::test]
async fn a_store_that_forgets_the_version_learns_it_from_the_replica_that_published_it() -> anyhow::Result<()>
{
    use tokenward_control::store::{Expected, Key, Store as _};
    let deployment = Deployment::start(Plan {
        replicas: 2,
        ..Plan::default()
    })
    .await?;
    let mut filter = Filter::default();
    filter.ask(&deployment, 0).await?;
    filter.ask(&deployment, 1).await?;
    apply(deployment.service(1), with_servers(&deployment, &["new"])?)?;
    filter.ask(&deployment, 1).await?;
    assert_eq!((filter.names(), filter.taken), (vec!["new"], 2));
    let key = Key::new("filter_servers", "version");
    deployment.store().delete(&key, Expected::Any).await?;
    // Whichever replica writes it again, the newer list stays.
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
        while deployment.store().read(&key).await?.is_none() {
            filter.ask(&deployment, 0).await?;
            filter.ask(&deployment, 1).await?;
        }
        anyhow::Ok(())
    })
    .await??;
    for _ in 0..4 {
        filter.ask(&deployment, 0).await?;
        filter.ask(&deployment, 1).await?;
    }
    assert_eq!((filter.names(), filter.taken), (vec!["new"], 2));
    Ok(())
}

#[tokio::test]
async fn the_filter_reads_every_list_as_its_own_configuration() -> anyhow::Result<()> {
    let exchange = json!({
        "type": "oauth",
        "forwardToken": true,
        "requiredAudiences": ["api", "more"],
        "tokenExchange": {
            "enabled": true,
            "dexTokenEndpoint": "https://dex.remote.example.com/dex/token",
            "connectorId": "home",
            "clientCredentials": {"clientId": "muster", "clientSecret": {"file": "@client"}},
        },
    });
    let base = crate::authorization::stage::plan(&json!({}))?;
    let mut plan = Plan {
        servers: base.servers.clone(),
        ..base
    };
    plan.secrets
        .push(("client".to_owned(), "client-secret".to_owned()));
    plan.servers.extend([
        json!({"name": "remote.1", "match": {"host": "*.Example.com", "pathPrefix": "/mcp/"}, "listener405After": 3, "auth": exchange}),
        json!({"name": "team/with-a-slash", "auth": {"forwardToken": true}}),
    ]);
    let deployment = Deployment::start(plan).await?;
    let (_, list) = ask(&deployment, 0, 0, 0).await?.servers.expect("a list");
    let issuer = deployment.dex.issuer();
    assert_eq!(
        list,
        json!({
            "servers": [
                {"name": "first", "resource": "https://mcp.example.com/kubernetes", "auth": {"kind": "forward", "issuer": issuer}},
                {"name": "kubernetes", "auth": {"kind": "forward", "issuer": issuer}},
                {
                    "name": "remote.1",
                    "host": "*.Example.com",
                    "path_prefix": "/mcp/",
                    "listener_405_after": 3,
                    "auth": {
                        "kind": "exchange",
                        "issuer": "https://dex.remote.example.com/dex",
                        "required_audiences": ["api", "more"],
                        "subject_issuer": issuer,
                        "subject_audiences": ["muster"],
                    },
                },
                {"name": "second", "resource": "https://mcp.example.com/github", "auth": {"kind": "forward", "issuer": issuer}},
            ],
            "authorization_server": {"issuer": "https://mcp.example.com", "scope": "mcp"},
        })
    );
    let mut configuration = list;
    configuration["control"] = json!({"cluster": "control", "credential": {"value": "x"}});
    let text = serde_json::to_vec(&configuration)?;
    let read = FilterConfig::parse(&text, |_| None)?;
    assert_eq!(read.table.servers.len(), 4);
    assert_eq!(
        read.table.servers[0].resource_metadata.as_deref(),
        Some("https://mcp.example.com/.well-known/oauth-protected-resource/kubernetes")
    );
    Ok(())
}
