//! What the chart makes of `issuers[].relay.route` and `exchangeEndpoint`.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokenward_harness::parts::Chart;

use super::rendering::{chart, values, whole, with};

/// The resources of one kind, parsed.
pub(crate) fn of_kind(chart: &Chart, values: &Value, kind: &str) -> anyhow::Result<Vec<Value>> {
    let rendered = chart.render(values)?.into_iter();
    rendered
        .filter(|resource| resource.kind == kind)
        .map(|resource| Ok(serde_saphyr::from_str(&resource.yaml)?))
        .collect()
}

pub(crate) fn named<'a>(resources: &'a [Value], name: &str) -> anyhow::Result<&'a Value> {
    let found = resources
        .iter()
        .find(|resource| resource["metadata"]["name"] == name);
    found.with_context(|| format!("no {name} among {resources:#?}"))
}

/// The filter's `unprotected` entries, as `host path`.
pub(crate) fn unprotected(chart: &Chart, values: &Value) -> anyhow::Result<BTreeSet<String>> {
    let policies = of_kind(chart, values, "EnvoyExtensionPolicy")?;
    let entries = policies[0]["spec"]["wasm"][0]["config"]["unprotected"].as_array();
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    Ok(entries
        .into_iter()
        .flatten()
        .map(|entry| format!("{} {}", text(entry, "host"), text(entry, "path_prefix")))
        .collect())
}

const RELAY: &str = "tokenward-relay-dex-example-com";

#[test]
fn the_route_is_exactly_the_public_token_endpoint_and_the_filter_lets_it_pass() -> anyhow::Result<()> {
    let Some(chart) = chart("the relay's route")? else {
        return Ok(());
    };
    let plain = with(&[("/issuers/0/relay", json!({"route": {}}))]);
    let routes = of_kind(&chart, &plain, "HTTPRoute")?;
    let route = &named(&routes, RELAY)?["spec"];
    assert_eq!(route["hostnames"], json!(["dex.example.com"]));
    assert_eq!(
        route["parentRefs"],
        json!([{"name": "mcp", "namespace": "gateways"}])
    );
    let rule = &route["rules"][0];
    assert_eq!(
        rule["matches"],
        json!([{"path": {"type": "Exact", "value": "/token"}}])
    );
    let service = json!([{"name": "tokenward", "namespace": "mcp", "port": 8080}]);
    assert_eq!(rule["backendRefs"], service);
    assert_eq!(rule["filters"], Value::Null, "nothing is rewritten");
    let exchange = &named(&routes, "tokenward-exchange")?["spec"]["rules"][0];
    assert_eq!(exchange["backendRefs"], service);
    let entries = unprotected(&chart, &plain)?;
    assert!(entries.contains("dex.example.com /token"), "{entries:?}");
    assert!(entries.contains("mcp.example.com /exchange"), "{entries:?}");

    // The issuer is published on a Gateway of its own: the filter does not see these requests.
    let parents = json!([{"name": "public", "namespace": "edge", "sectionName": "https"}]);
    let elsewhere = with(&[
        ("/issuers/0/relay", json!({"route": {"parentRefs": parents}})),
        (
            "/issuers/0/relay/publicEndpoint",
            json!("https://login.example.com/dex/token"),
        ),
    ]);
    let routes = of_kind(&chart, &elsewhere, "HTTPRoute")?;
    let route = named(&routes, "tokenward-relay-login-example-com-dex")?;
    assert_eq!(route["metadata"]["namespace"], "edge");
    assert_eq!(route["spec"]["parentRefs"], parents);
    assert_eq!(
        route["spec"]["rules"][0]["matches"][0]["path"]["value"],
        "/dex/token"
    );
    let entries = unprotected(&chart, &elsewhere)?;
    assert!(
        !entries.iter().any(|entry| entry.contains("/token")),
        "{entries:?}"
    );
    let grants = of_kind(&chart, &elsewhere, "ReferenceGrant")?;
    let from: Vec<_> = grants[0]["spec"]["from"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|from| &from["namespace"])
        .collect();
    assert_eq!(from, ["edge", "gateways"]);
    chart.validate(&whole(&chart, &elsewhere)?)?;
    Ok(())
}

#[test]
fn without_a_route_the_issuer_stays_as_it_is() -> anyhow::Result<()> {
    let Some(chart) = chart("no route")? else {
        return Ok(());
    };
    for relay in [json!({}), json!({"deadline": "5s"})] {
        let routes = of_kind(&chart, &with(&[("/issuers/0/relay", relay)]), "HTTPRoute")?;
        assert!(named(&routes, RELAY).is_err());
        assert_eq!(routes.len(), 3, "metadata, exchange, kubernetes");
    }
    Ok(())
}

/// Control reaches the issuer in the cluster under the default policy too.
#[test]
fn the_network_policy_admits_the_issuers_own_address() -> anyhow::Result<()> {
    let Some(chart) = chart("the NetworkPolicy")? else {
        return Ok(());
    };
    let policies = of_kind(&chart, &values(), "NetworkPolicy")?;
    let egress = policies[0]["spec"]["egress"].as_array().context("no egress")?;
    let port = json!([{"port": 5556, "protocol": "TCP"}]);
    assert_eq!(egress.iter().filter(|rule| rule["ports"] == port).count(), 1);
    Ok(())
}

/// Envoy Gateway balances between Backends of one kind of address by their priority; a Service beside a name, or one
/// without endpoints, would be a split by weight.
#[test]
fn with_failover_both_backends_are_names_and_only_the_issuer_is_the_fallback() -> anyhow::Result<()> {
    let Some(chart) = chart("failover")? else {
        return Ok(());
    };
    let failover = with(&[("/issuers/0/relay", json!({"route": {"failover": true}}))]);
    let routes = of_kind(&chart, &failover, "HTTPRoute")?;
    let references = &named(&routes, RELAY)?["spec"]["rules"][0]["backendRefs"];
    let to = |name: &str| json!({"group": "gateway.envoyproxy.io", "kind": "Backend", "name": name});
    let issuer = format!("{RELAY}-issuer");
    assert_eq!(*references, json!([to(RELAY), to(&issuer)]));
    let backends = of_kind(&chart, &failover, "Backend")?;
    let endpoint = |host: &str, port: u16| json!([{"fqdn": {"hostname": host, "port": port}}]);
    let (control, issuer) = (named(&backends, RELAY)?, named(&backends, &issuer)?);
    assert_eq!(
        control["spec"],
        json!({"endpoints": endpoint("tokenward.mcp.svc.cluster.local", 8080)})
    );
    assert_eq!(
        issuer["spec"],
        json!({"fallback": true, "endpoints": endpoint("dex.dex.svc.cluster.local", 5556)})
    );
    let policies = of_kind(&chart, &failover, "BackendTrafficPolicy")?;
    let policy = &named(&policies, RELAY)?["spec"];
    assert_eq!(policy["targetRefs"][0]["kind"], "HTTPRoute");
    assert_eq!(policy["healthCheck"]["active"]["type"], "TCP");
    assert_eq!(
        policy["retry"]["retryOn"]["triggers"],
        json!(["connect-failure"]),
        "nothing is sent twice"
    );
    chart.validate(&whole(&chart, &failover)?)?;
    Ok(())
}

#[test]
fn a_route_that_cannot_be_meant_is_refused() -> anyhow::Result<()> {
    let Some(chart) = chart("refused routes")? else {
        return Ok(());
    };
    let entry = |client: &str, route: Value| {
        let mut entry = values()["issuers"][0].clone();
        entry["clientId"] = json!(client);
        entry["relay"] = json!({"route": route});
        entry
    };
    let narrow = json!({"onlyThisClient": true});
    let refused: [(&[(&str, Value)], &str); 5] = [
        (
            &[("/issuers", json!([entry("a", json!({})), entry("b", json!({}))]))],
            "two entries of issuers",
        ),
        (
            &[(
                "/issuers/0/tokenEndpoint",
                json!("https://dex.internal.example.com/token"),
            )],
            "failover needs tokenEndpoint with http://",
        ),
        (
            &[(
                "/issuers/0/tokenEndpoint",
                json!("http://dex.dex.svc:5556/dex/token"),
            )],
            "the path /token",
        ),
        (
            &[("/issuers/0/relay", json!({"route": {"hostnames": ["x"]}}))],
            "hostnames",
        ),
        (&[("/issuers/0/tokenEndpoint", Value::Null)], "tokenEndpoint"),
    ];
    for (changes, named) in refused {
        let finding = chart.render(&with(changes)).unwrap_err().to_string();
        assert!(finding.contains(named), "{changes:?}: {finding}");
    }
    let both = json!([entry("a", narrow.clone()), entry("b", narrow)]);
    let routes = of_kind(&chart, &with(&[("/issuers", both)]), "HTTPRoute")?;
    named(&routes, &format!("{RELAY}-a"))?;
    named(&routes, &format!("{RELAY}-b"))?;
    Ok(())
}

/// Base64 has no letter that ends with the colon: the last one of the prefix also has bits of the secret.
#[test]
fn a_narrowed_route_takes_every_secret_of_its_client_and_no_other_client() -> anyhow::Result<()> {
    let Some(chart) = chart("a narrowed route")? else {
        return Ok(());
    };
    let secrets = [
        "",
        "s",
        "\u{1}",
        "ÿÿÿ",
        "a long secret with + and / and %20",
        "~~~",
    ];
    let clients = [
        "m", "mu", "mus", "muster", "muste", "muster-2", "Muster", "a+b c", "k8s/oidc", "ö",
    ];
    for client in clients {
        let narrowed = with(&[
            ("/issuers/0/clientId", json!(client)),
            ("/issuers/0/relay", json!({"route": {"onlyThisClient": true}})),
        ]);
        let routes = of_kind(&chart, &narrowed, "HTTPRoute")?;
        let route = routes
            .iter()
            .find(|route| route["spec"]["hostnames"][0] == "dex.example.com")
            .context("no route")?;
        let header = &route["spec"]["rules"][0]["matches"][0]["headers"][0];
        assert_eq!(
            (&header["type"], &header["name"]),
            (&json!("RegularExpression"), &json!("authorization"))
        );
        let expression = header["value"].as_str().context("no expression")?;
        for other in clients {
            let encoded: String = form_urlencoded::byte_serialize(other.as_bytes()).collect();
            for (id, secret) in [other, encoded.as_str()]
                .iter()
                .flat_map(|id| secrets.map(|secret| (id, secret)))
            {
                let value = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
                ensure!(
                    matches(expression, &value)? == (other == client),
                    "{expression} of {client} for {id}:{secret}, {value}"
                );
            }
        }
        assert!(!matches(expression, "Bearer bXVzdGVyOg==")?);
    }
    Ok(())
}

/// Whether all of `value` matches an expression of the chart's form: `[Bb]asic +(ONE|OTHER).*`, where each is made of letters
/// and classes that list theirs.
fn matches(expression: &str, value: &str) -> anyhow::Result<bool> {
    let inner = expression
        .strip_prefix("[Bb]asic +(")
        .and_then(|rest| rest.strip_suffix(").*"))
        .with_context(|| format!("another form: {expression}"))?;
    let Some(credentials) = value
        .strip_prefix("Basic ")
        .or_else(|| value.strip_prefix("basic "))
    else {
        return Ok(false);
    };
    Ok(inner.split('|').any(|way| begins(way, credentials)))
}

fn begins(way: &str, text: &str) -> bool {
    let (mut way, mut text) = (way, text.chars());
    while let Some(letter) = way.chars().next() {
        let class = way.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (letters, rest) = class.unwrap_or_else(|| way.split_at(letter.len_utf8()));
        if !text.next().is_some_and(|next| letters.contains(next)) {
            return false;
        }
        way = rest;
    }
    true
}
