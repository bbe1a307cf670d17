//! Every YAML of the chart, rendered and validated against the schemas, and the values that the chart refuses.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_control::serve::longest_stop;

use tokenward_harness::parts::{Chart, EnvoyGateway};
use tokenward_protocol::duration::parse_duration;

/// Values that turn on everything; the test that needs another story changes them.
pub(crate) fn values() -> Value {
    json!({
        "issuers": [{
            "issuer": "https://dex.example.com", "clientId": "muster",
            "clientSecretRef": {"name": "tokenward-dex", "key": "client-secret"}, "trustedPeers": ["cli"],
            "tokenEndpoint": "http://dex.dex.svc.cluster.local:5556/token",
            "relay": {"staleSubjectGrace": "30m", "route": {"failover": true, "onlyThisClient": true}},
        }],
        "exchangeEndpoint": {"hostnames": ["mcp.example.com"]},
        "servers": [
            {
                "name": "kubernetes", "auth": {"type": "oauth", "forwardToken": true, "requiredAudiences": ["muster"]},
                "resource": "https://mcp.example.com/kubernetes/mcp", "listener405After": 20,
                "match": {"host": "mcp.example.com", "pathPrefix": "/kubernetes"},
                "route": {
                    "namespace": "servers", "hostnames": ["mcp.example.com"], "pathPrefix": "/kubernetes",
                    "rewritePathPrefix": "/", "backendRefs": [{"name": "mcp-kubernetes", "port": 8080}],
                },
            },
            {
                "name": "remote",
                "auth": {"type": "oauth", "requiredAudiences": ["kube"], "tokenExchange": {
                    "enabled": true, "dexTokenEndpoint": "https://dex.remote.example.com/token", "connectorId": "home",
                    "clientId": "kube", "clientCredentialsSecretRef": {"name": "remote-exchange"},
                }},
            },
        ],
        "resourceMetadata": {"hostnames": ["mcp.example.com"]},
        "gateway": {"namespace": "gateways", "filter": {"sha256": "0".repeat(64)}},
        "autoscaling": {"enabled": true},
        "serviceMonitor": {"enabled": true}, "prometheusRule": {"enabled": true}, "grafanaDashboard": {"enabled": true},
        "extraCaRef": {"name": "ca", "key": "ca.crt"},
        "sealing": {"previous": [{"id": "k0", "secretRef": {"name": "tokenward-sealing", "key": "k0"}}]},
    })
}

pub(crate) fn with(changes: &[(&str, Value)]) -> Value {
    let mut values = values();
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut place = &mut values;
        for part in parent.split('/').skip(1) {
            place = match part.parse::<usize>() {
                Ok(at) => &mut place[at],
                Err(_) => &mut place[part],
            };
        }
        place[key] = value.clone();
    }
    values
}

/// The chart, or a line that the story is left out.
pub(crate) fn chart(story: &str) -> anyhow::Result<Option<Chart>> {
    let found = Chart::find()?;
    if found.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", EnvoyGateway::IS_MISSING);
    }
    Ok(found)
}

pub(crate) fn whole(chart: &Chart, values: &Value) -> anyhow::Result<String> {
    let rendered = chart.render(values)?;
    Ok(rendered
        .into_iter()
        .map(|resource| resource.yaml)
        .collect::<Vec<_>>()
        .join("\n---\n"))
}

#[test]
fn every_way_to_install_it_renders_valid_resources() -> anyhow::Result<()> {
    let Some(chart) = chart("rendering")? else {
        return Ok(());
    };
    let image = json!({"url": "registry.example.com/tokenward-filter:0.1.0", "sha256": "1".repeat(64)});
    let ways: [&[(&str, Value)]; 5] = [
        &[],
        &[
            ("/gateway/controlCluster", json!("route")),
            ("/gateway/failReload", json!(false)),
        ],
        &[
            ("/gateway/filter/source", json!("image")),
            ("/gateway/filter/image", image),
        ],
        &[
            (
                "/store",
                json!({"valkey": {"enabled": false}, "embedded": {"enabled": true}}),
            ),
            ("/replicaCount", json!(1)),
            ("/autoscaling/enabled", json!(false)),
        ],
        &[
            ("/gateway/enabled", json!(false)),
            ("/serviceAccount", json!({"create": false})),
        ],
    ];
    for way in ways {
        let yaml = whole(&chart, &with(way))?;
        let counted = chart.validate(&yaml)?;
        assert!(counted.contains("Deployment 1"), "{counted}");
    }
    Ok(())
}

#[test]
fn the_validator_refuses_unknown_fields_broken_rules_and_broken_expressions() -> anyhow::Result<()> {
    let Some(chart) = chart("the validator")? else {
        return Ok(());
    };
    let good = whole(&chart, &values())?;
    let broken = [
        ("rootID: tokenward", "rootId: tokenward", "rootId"),
        (
            "readOnlyRootFilesystem: true",
            "readOnlyRootFileSystem: true",
            "readOnlyRootFileSystem",
        ),
        ("type: JSONPatch", "type: Merge", "JSONPatch"),
        // A rule in CEL: an HTTP source needs its http.
        (
            "      type: HTTP\n      http:",
            "      type: Image\n      http:",
            "Image",
        ),
        ("> 0.05", "> > 0.05", "TokenwardControlOverloaded"),
        ("interval: 30s", "intervall: 30s", "intervall"),
    ];
    for (from, to, named) in broken {
        assert!(good.contains(from), "{from} is not in the resources");
        let finding = chart
            .validate(&good.replacen(from, to, 1))
            .unwrap_err()
            .to_string();
        assert!(finding.contains(named), "{to}: {finding}");
    }
    Ok(())
}

/// Without a deadline a request that waited for a connection would reach its server whenever one came free, however long
/// its token had expired.
#[test]
fn where_requests_have_no_deadline_connections_have_no_limit() -> anyhow::Result<()> {
    let Some(chart) = chart("connections")? else {
        return Ok(());
    };
    let policy = |values: &Value| -> anyhow::Result<Option<String>> {
        let mut rendered = chart.render(values)?.into_iter();
        let policy = rendered.find(|resource| {
            resource.kind == "BackendTrafficPolicy" && resource.yaml.contains("kind: Gateway,")
        });
        Ok(policy.map(|policy| policy.yaml))
    };
    let streams = policy(&values())?.context("no BackendTrafficPolicy")?;
    assert!(streams.contains("requestTimeout: 0s"), "{streams}");
    assert!(streams.contains("maxConnections: 4294967295"), "{streams}");
    assert_eq!(policy(&with(&[("/gateway/streams", json!(false))]))?, None);
    Ok(())
}

/// A kill before control has stored a rotated refresh token costs a login.
#[test]
fn the_grace_period_is_longer_than_an_orderly_end_of_control() -> anyhow::Result<()> {
    let Some(chart) = chart("the grace period")? else {
        return Ok(());
    };
    let rendered = |changes: &[(&str, Value)]| -> anyhow::Result<u64> {
        let resources = chart.render(&with(changes))?;
        let found = resources
            .iter()
            .flat_map(|resource| resource.yaml.lines())
            .find_map(|line| line.trim().strip_prefix("terminationGracePeriodSeconds: "));
        Ok(found.context("no grace period")?.parse()?)
    };
    assert_eq!(rendered(&[])?, 60);
    let given = ("/terminationGracePeriodSeconds", json!(45));
    for timeout in ["500ms", "1500ms", "35s", "90s", "2m", "1h"] {
        let settings = ("/controlSettings", json!({"issuer_timeout": timeout}));
        let grace = Duration::from_secs(rendered(&[settings, given.clone()])?);
        let longest = longest_stop(parse_duration(timeout)?);
        assert!(
            grace > longest,
            "{timeout}: {grace:?}, and control takes {longest:?}"
        );
    }
    Ok(())
}

#[test]
fn values_that_cannot_be_meant_are_refused_by_name() -> anyhow::Result<()> {
    let Some(chart) = chart("values")? else {
        return Ok(());
    };
    let refused: [(&str, Value, &str); 16] = [
        ("/gateway/filtre", json!({}), "filtre"),
        ("/servers/0/auth/fowardToken", json!(true), "fowardToken"),
        ("/servers/0/auth/forwardToken", json!(false), "forwardToken"),
        (
            "/servers/1/auth/tokenExchange/connectorId",
            json!("9"),
            "connectorId",
        ),
        (
            "/servers/0/match",
            json!({"host": "mcp.example.com", "pathPrefix": "/"}),
            "oauth-protected-resource",
        ),
        ("/gateway/filter/settings", json!({"margn": "60s"}), "margn"),
        ("/gateway/filter/unmatched", json!("block"), "unmatched"),
        (
            "/gateway/filter/unprotected",
            json!([{"pathPrefix": "/healthz/*"}]),
            "pathPrefix",
        ),
        (
            "/servers/0/match",
            json!({"host": "mcp.example.com.", "pathPrefix": "/x"}),
            "host",
        ),
        (
            "/controlSettings",
            json!({"intake": {"dedline": "1s"}}),
            "dedline",
        ),
        ("/networkPolicy", json!({"ingressFrom": []}), "ingressFrom"),
        ("/servers", json!([]), "servers is empty"),
        ("/issuers", json!([]), "issuers is empty"),
        ("/store", json!({"embedded": {"enabled": true}}), "exactly one of"),
        ("/gateway/filter/sha256", json!(""), "gateway.filter.sha256"),
        (
            "/servers/1/auth/tokenExchange/clientCredentialsSecretRef",
            json!({"name": "remote-exchange", "namespace": "elsewhere"}),
            "elsewhere",
        ),
    ];
    for (pointer, value, named) in refused {
        let finding = chart.render(&with(&[(pointer, value)])).unwrap_err().to_string();
        assert!(finding.contains(named), "{pointer}: {finding}");
    }
    Ok(())
}

/// Helm would stop half-way at the second one.
#[test]
fn two_routes_that_would_have_one_name_are_refused() -> anyhow::Result<()> {
    let Some(chart) = chart("names of routes")? else {
        return Ok(());
    };
    let here = ("/servers/0/route/namespace", json!("gateways"));
    let one = values()["servers"][0].clone();
    let mut twin = one.clone();
    twin["name"] = json!("Kubernetes");
    let refused: [(&[(&str, Value)], &str); 3] = [
        (
            &[("/servers/0/name", json!("metadata")), here.clone()],
            "tokenward-metadata",
        ),
        (
            &[
                ("/servers/0/name", json!("control")),
                here.clone(),
                ("/gateway/controlCluster", json!("route")),
            ],
            "tokenward-control",
        ),
        (&[("/servers", json!([one, twin]))], "tokenward-kubernetes"),
    ];
    for (changes, name) in refused {
        let finding = chart
            .render(&with(changes))
            .err()
            .with_context(|| format!("{name} twice"))?
            .to_string();
        assert!(
            finding.contains(name) && finding.contains("name it otherwise"),
            "{changes:?}: {finding}"
        );
    }
    // In another namespace, and for a route that the chart does not make, the name is free.
    chart.render(&with(&[("/servers/0/name", json!("metadata"))]))?;
    chart.render(&with(&[("/servers/0/name", json!("control")), here]))?;
    Ok(())
}

/// Without it the filter refuses every request.
#[test]
fn variables_of_ones_own_leave_envoy_the_filters_credential() -> anyhow::Result<()> {
    let Some(chart) = chart("variables of Envoy's pods")? else {
        return Ok(());
    };
    let own = json!({"envoyDeployment": {"container": {"env": [{"name": "TZ", "value": "UTC"}]}}});
    let yaml = whole(
        &chart,
        &with(&[("/gateway/envoyProxy", json!({"kubernetes": own}))]),
    )?;
    chart.validate(&yaml)?;
    for name in ["name: TZ", "name: TOKENWARD_FILTER_CREDENTIAL"] {
        assert_eq!(yaml.matches(name).count(), 1, "{name}");
    }
    Ok(())
}
