//! What the chart makes of `authorization`.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::Chart;

use super::relay_rendering::{named, of_kind, unprotected};
use super::rendering::{chart, values, whole, with};

const ISSUER: &str = "https://mcp.example.com";
const ENDPOINTS: [&str; 5] = [
    "/token",
    "/register",
    "/revoke",
    "/jwks",
    "/.well-known/oauth-authorization-server",
];
const PAGES: [&str; 3] = ["/authorize", "/authorize/consent", "/authorize/callback"];

fn authorization() -> Value {
    json!({
        "issuer": ISSUER,
        "signingKeys": {
            "current": {"name": "tokenward-signing-keys", "key": "current.pem"},
            "next": {"name": "tokenward-signing-keys", "key": "next.pem"},
        },
        "login": {"issuer": "https://dex.example.com", "clientId": "muster", "connectorId": "github"},
        "defaultServer": "kubernetes",
        "clientFiles": {"name": "tokenward-client-files"},
    })
}

/// Everything of [`values`], and an authorization server with these changes.
pub(crate) fn with_authorization(changes: &[(&str, Value)]) -> Value {
    let mut all = vec![("/authorization", authorization())];
    all.extend_from_slice(changes);
    with(&all)
}

/// The paths of a route's only rule.
fn paths(route: &Value) -> Vec<&str> {
    let matches = route["spec"]["rules"][0]["matches"].as_array();
    let exact = matches.into_iter().flatten().filter(|one| {
        one["path"]["type"] == "Exact" && one["method"] == Value::Null && one["headers"] == Value::Null
    });
    exact.filter_map(|one| one["path"]["value"].as_str()).collect()
}

/// The filter's configuration.
pub(crate) fn filter(chart: &Chart, values: &Value) -> anyhow::Result<Value> {
    let policies = of_kind(chart, values, "EnvoyExtensionPolicy")?;
    Ok(policies[0]["spec"]["wasm"][0]["config"].clone())
}

/// Control's configuration.
fn control(chart: &Chart, values: &Value) -> anyhow::Result<Value> {
    let maps = of_kind(chart, values, "ConfigMap")?;
    let text = maps
        .iter()
        .find_map(|map| map["data"]["tokenward.yaml"].as_str())
        .context("no configuration")?;
    Ok(serde_saphyr::from_str(text)?)
}

#[test]
fn the_routes_are_exactly_the_public_paths_and_the_filter_lets_them_pass() -> anyhow::Result<()> {
    let Some(chart) = chart("the authorization server's routes")? else {
        return Ok(());
    };
    let values = with_authorization(&[]);
    let routes = of_kind(&chart, &values, "HTTPRoute")?;
    for (name, expected) in [
        ("tokenward-authorization", &ENDPOINTS[..]),
        ("tokenward-login", &PAGES[..]),
    ] {
        let route = named(&routes, name)?;
        assert_eq!(paths(route), expected, "{name}");
        assert_eq!(route["spec"]["hostnames"], json!(["mcp.example.com"]), "{name}");
        let rule = &route["spec"]["rules"][0];
        assert_eq!(
            rule["backendRefs"],
            json!([{"name": "tokenward", "namespace": "mcp", "port": 8080}]),
            "{name}"
        );
        assert_eq!(rule["filters"], Value::Null, "{name}: nothing is rewritten");
    }
    let entries = unprotected(&chart, &values)?;
    for path in PAGES.iter().chain(&ENDPOINTS) {
        assert!(
            entries.contains(&format!("mcp.example.com {path}")),
            "{path}: {entries:?}"
        );
    }
    chart.validate(&whole(&chart, &values)?)?;

    // Published on another Gateway: the filter does not see these requests.
    let parents = json!([{"name": "public", "namespace": "edge"}]);
    let elsewhere = with_authorization(&[("/authorization/route", json!({"parentRefs": parents}))]);
    let routes = of_kind(&chart, &elsewhere, "HTTPRoute")?;
    let route = named(&routes, "tokenward-login")?;
    assert_eq!(route["metadata"]["namespace"], "edge");
    assert_eq!(route["spec"]["parentRefs"], parents);
    let entries = unprotected(&chart, &elsewhere)?;
    for path in PAGES.iter().chain(&ENDPOINTS) {
        assert!(
            !entries.contains(&format!("mcp.example.com {path}")),
            "{path}: {entries:?}"
        );
    }
    let grants = of_kind(&chart, &elsewhere, "ReferenceGrant")?;
    let from: BTreeSet<_> = grants[0]["spec"]["from"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|from| from["namespace"].as_str())
        .collect();
    assert_eq!(from, BTreeSet::from(["edge", "gateways"]));
    chart.validate(&whole(&chart, &elsewhere)?)?;
    Ok(())
}

/// SDKs begin a login in a browser at any 5xx but `temporarily_unavailable`.
#[test]
fn envoys_own_answers_at_the_endpoints_are_temporarily_unavailable_and_controls_stay() -> anyhow::Result<()> {
    let Some(chart) = chart("Envoy's own answers")? else {
        return Ok(());
    };
    let policies = of_kind(&chart, &with_authorization(&[]), "BackendTrafficPolicy")?;
    for (name, content_type) in [
        ("tokenward-authorization", "application/json"),
        ("tokenward-login", "text/html; charset=utf-8"),
    ] {
        let policy = &named(&policies, name)?["spec"];
        assert_eq!(policy["targetRefs"][0]["name"], name);
        assert_eq!(
            policy["retry"]["retryOn"],
            json!({"triggers": ["connect-failure"]}),
            "{name}: a code is sent once"
        );
        let [answer] = &policy["responseOverride"].as_array().context("no override")?[..] else {
            anyhow::bail!("{name}: one override");
        };
        assert_eq!(answer["source"], "Local", "{name}: not control's own answers");
        assert_eq!(
            answer["match"]["statusCodes"],
            json!([{"type": "Range", "range": {"start": 500, "end": 599}}])
        );
        assert_eq!(answer["response"]["statusCode"], 503, "{name}");
        assert_eq!(answer["response"]["contentType"], content_type, "{name}");
        let headers = answer["response"]["header"]["set"].to_string();
        assert!(
            headers.contains("retry-after") && headers.contains("no-store"),
            "{headers}"
        );
    }
    let body = &named(&policies, "tokenward-authorization")?["spec"]["responseOverride"][0]["response"];
    let body = body["body"]["inline"].as_str().context("no body")?;
    let body: Value = serde_json::from_str(body)?;
    assert_eq!(body["error"], "temporarily_unavailable");
    Ok(())
}

#[test]
fn filter_and_control_get_the_same_issuer_and_resources() -> anyhow::Result<()> {
    let Some(chart) = chart("the authorization server's configuration")? else {
        return Ok(());
    };
    let more = json!({"authorization": {
        "access_token_lifetime": "30m", "clients": {"registration": {"enabled": false}},
    }});
    let values = with_authorization(&[("/controlSettings", more)]);
    let written = with_authorization(&[("/gateway/filter/serversFrom", json!("static"))]);
    let filter = filter(&chart, &written)?;
    assert_eq!(
        filter["authorization_server"],
        json!({"issuer": ISSUER, "scope": "mcp"})
    );
    let control = control(&chart, &values)?;
    let authorization = &control["authorization"];
    assert_eq!(
        *authorization,
        json!({
            "issuer": ISSUER, "trusted_proxies": 1, "default_server": "kubernetes", "access_token_lifetime": "30m",
            "signing_keys": {
                "current": {"file": "/run/secrets/tokenward/tokenward-signing-keys/current.pem"},
                "next": {"file": "/run/secrets/tokenward/tokenward-signing-keys/next.pem"},
            },
            "login": {"issuer": "https://dex.example.com", "client_id": "muster", "connector_id": "github"},
            "clients": {"registration": {"enabled": false}},
        })
    );
    for (server, at_control) in filter["servers"]
        .as_array()
        .into_iter()
        .flatten()
        .zip(control["servers"].as_array().into_iter().flatten())
    {
        assert_eq!(server["resource"], at_control["resource"], "{}", server["name"]);
    }
    assert_eq!(
        filter["servers"][0]["resource"],
        "https://mcp.example.com/kubernetes/mcp"
    );
    // The documents by which clients find the login are routed without naming their host once more.
    let metadata = with_authorization(&[("/resourceMetadata", json!({}))]);
    let routes = of_kind(&chart, &metadata, "HTTPRoute")?;
    let route = named(&routes, "tokenward-metadata")?;
    assert_eq!(route["spec"]["hostnames"], json!(["mcp.example.com"]));
    let deployments = of_kind(&chart, &values, "Deployment")?;
    let pod = deployments[0]["spec"]["template"]["spec"].to_string();
    for mounted in ["tokenward-signing-keys", "tokenward-client-files"] {
        assert!(pod.contains(mounted), "{mounted}: {pod}");
    }
    Ok(())
}

#[test]
fn without_an_issuer_nothing_of_it_is_rendered() -> anyhow::Result<()> {
    let Some(chart) = chart("no authorization server")? else {
        return Ok(());
    };
    let yaml = whole(&chart, &values())?;
    for trace in [
        "authorization_server",
        "signing",
        "tokenward-login",
        "/authorize",
        "trusted_proxies",
    ] {
        assert!(!yaml.contains(trace), "{trace}");
    }
    Ok(())
}

#[test]
fn an_authorization_server_that_cannot_be_meant_is_refused() -> anyhow::Result<()> {
    let Some(chart) = chart("refused authorization servers")? else {
        return Ok(());
    };
    let refused: [(&str, Value, &str); 8] = [
        (
            "/authorization/issuer",
            json!("https://mcp.example.com/login"),
            "issuer",
        ),
        (
            "/authorization/signingKeys/current",
            json!({"name": "tokenward-signing-keys", "key": "keys/current.pem"}),
            "key",
        ),
        ("/authorization/rout", json!({}), "rout"),
        (
            "/servers/0/route/hostnames",
            json!([]),
            "server kubernetes: give its route hostnames",
        ),
        (
            "/servers/0/match",
            json!({"host": "mcp.example.com"}),
            "give it a match.pathPrefix",
        ),
        (
            "/servers",
            json!([values()["servers"][1]]),
            "no server has a resource",
        ),
        (
            "/issuers/0/relay",
            json!({"publicEndpoint": "https://mcp.example.com/token", "route": {}}),
            "a host of its own",
        ),
        (
            "/controlSettings",
            json!({"authorization": {"acess_token_lifetime": "1h"}}),
            "acess_token_lifetime",
        ),
    ];
    for (pointer, value, named) in refused {
        let finding = chart
            .render(&with_authorization(&[(pointer, value)]))
            .err()
            .with_context(|| format!("{pointer} is accepted"))?
            .to_string();
        assert!(finding.contains(named), "{pointer}: {finding}");
    }
    Ok(())
}
