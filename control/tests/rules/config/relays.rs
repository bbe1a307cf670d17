//! Relays: their defaults and bounds, and that control never calls itself.

use std::time::Duration;

use tokenward_control::config::{Config, Problem, RelayConfig};

use super::{Folder, GOOD, parse};

const CLIENT: &str = "client_id: muster\n";
const OWN: &str = "token_endpoint: http://dex.dex.svc.cluster.local:5556/token\n";

/// [`GOOD`] with `fields` added to its issuer.
fn with(fields: &str) -> Result<Config, Vec<Problem>> {
    let folder = Folder::new();
    let fields = format!("{CLIENT}{fields}");
    let text = GOOD.replacen(CLIENT, &fields, 1);
    assert_ne!(text, GOOD);
    parse(&folder, &text)
}

fn relay(fields: &str) -> RelayConfig {
    let config = with(fields).unwrap_or_else(|problems| panic!("{fields}: {problems:?}"));
    config.issuers[0].relay.clone().expect("a relay")
}

fn one_problem(fields: &str, line: u64, what: &str) {
    let problems = with(fields).expect_err(fields);
    let [problem] = problems.as_slice() else {
        panic!("{fields}: {problems:?}");
    };
    assert_eq!(problem.line, line, "{problem}");
    assert!(problem.to_string().contains(what), "{problem}");
    assert!(!problem.hint.is_empty(), "{problem}");
}

#[test]
fn an_empty_relay_has_dexs_endpoint_and_short_times() {
    let relay = relay(&format!("  {OWN}  relay: {{}}\n"));
    assert_eq!(relay.public_endpoint.as_str(), "https://dex.example.com/token");
    assert_eq!(relay.stale_subject_grace, Duration::from_secs(3600));
    assert_eq!(relay.deadline, Duration::from_secs(8));
    let without = with(&format!("  {OWN}")).expect("good");
    assert!(without.issuers[0].relay.is_none());
}

#[test]
fn every_field_of_a_relay_can_be_set() {
    let relay = relay(&format!(
        "  {OWN}  relay:\n    public_endpoint: https://login.example.com:8443/oauth/token\n    stale_subject_grace: 10m\n    deadline: 5s\n"
    ));
    assert_eq!(
        relay.public_endpoint.as_str(),
        "https://login.example.com:8443/oauth/token"
    );
    assert_eq!(relay.stale_subject_grace, Duration::from_secs(600));
    assert_eq!(relay.deadline, Duration::from_secs(5));
}

#[test]
fn only_the_exact_path_at_the_endpoints_host_is_the_relays() {
    let relay = relay(&format!("  {OWN}  relay: {{}}\n"));
    for authority in ["dex.example.com", "DEX.example.com", "dex.example.com:443"] {
        assert!(relay.is_at(authority, "/token"), "{authority}");
    }
    for (authority, path) in [
        ("dex.example.com", "/token/"),
        ("dex.example.com", "/token/introspect"),
        ("dex.example.com", "//token"),
        ("dex.example.com", "/TOKEN"),
        ("dex.example.com", "/%74oken"),
        ("dex.example.com:8443", "/token"),
        ("dex.example.com:80", "/token"),
        ("a.dex.example.com", "/token"),
        ("example.com", "/token"),
        ("user@dex.example.com", "/token"),
        ("", "/token"),
    ] {
        assert!(!relay.is_at(authority, path), "{authority}{path}");
    }
}

#[test]
fn a_relay_needs_the_issuers_own_endpoint() {
    one_problem("  relay: {}\n", 9, "relay needs token_endpoint");
    for own in [
        "https://dex.example.com/token",
        "https://dex.example.com:443/token",
        "https://dex.example.com/token?x=y",
    ] {
        let fields = format!("  token_endpoint: \"{own}\"\n  relay: {{}}\n");
        one_problem(&fields, 9, "control would call itself");
    }
}

#[test]
fn the_times_of_a_relay_have_bounds() {
    for (field, what) in [
        ("deadline: 10s", "must be shorter than 10s"),
        ("deadline: 0s", "must not be zero"),
        ("stale_subject_grace: 169h", "longer than stale_subject_grace"),
        (
            "public_endpoint: \"https://dex.example.com/token?x=y\"",
            "must not contain a query",
        ),
        ("public_endpoint: http://dex.example.com/token", "must be https"),
    ] {
        one_problem(&format!("  {OWN}  relay: {{{field}}}\n"), 10, what);
    }
    let folder = Folder::new();
    let fields = format!("{CLIENT}  {OWN}  relay: {{}}\n");
    let short = GOOD
        .replacen("margin: 30s", "stale_subject_grace: 20m", 1)
        .replacen(CLIENT, &fields, 1);
    let config = parse(&folder, &short).expect("good");
    let grace = config.issuers[0]
        .relay
        .as_ref()
        .map(|relay| relay.stale_subject_grace);
    assert_eq!(grace, Some(Duration::from_secs(20 * 60)));
}

#[test]
fn all_clients_of_a_relayed_issuer_reach_it_at_one_own_endpoint() {
    let other = |fields: &str| {
        format!(
            "  {OWN}  relay: {{}}\n  client_secret: {{file: DIR/client}}\n- issuer: https://dex.example.com\n  client_id: portal\n{fields}"
        )
    };
    assert!(with(&other(&format!("  {OWN}"))).is_ok());
    assert!(with(&other(&format!("  {OWN}  relay: {{}}\n"))).is_ok());
    one_problem(&other(""), 12, "no token_endpoint for this one");
    one_problem(
        &other("  token_endpoint: http://dex-2.dex.svc:5556/token\n  relay: {}\n"),
        14,
        "two token_endpoints for one public_endpoint",
    );
    one_problem(
        &other("  token_endpoint: https://dex.example.com/token\n"),
        14,
        "control would call itself",
    );
}

#[test]
fn plain_http_reaches_a_service_of_the_cluster_and_no_other_host() {
    for good in [
        "http://dex.dex.svc:5556/token",
        "http://dex.dex.svc.cluster.local:5556/dex/token",
        "http://dex.dex.svc.cluster.local./token",
    ] {
        let fields = format!("  token_endpoint: {good}\n  jwks_uri: {good}\n");
        assert!(with(&fields).is_ok(), "{good}");
    }
    for bad in [
        "http://dex.svc/token",
        "http://.dex.svc/token",
        "http://dex.dex/token",
        "http://dex.dex.svc.example.com/token",
        "http://dex.cluster.local/token",
        "http://dex.dexsvc/token",
    ] {
        let fields = format!("  token_endpoint: {bad}\n");
        one_problem(&fields, 9, "NAME.NAMESPACE.svc.cluster.local");
    }
}
