//! Each kind by its fields.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokenward_control::config::TokenSource;
use tokenward_control::servers::resources::{LastGood, judge};
use tokenward_kubernetes::Outcome;

use super::{MUSTER, config_with, exchange, exchanging, forwarding, judged, list, only, resource};

#[test]
fn a_forwarding_resource_is_a_server_with_its_host_path_and_audiences() {
    let mut wanted = forwarding("muster/grizzly", 1, "https://MCP.example.com:8443/grizzly/mcp/");
    wanted.spec["auth"]["requiredAudiences"] = json!(["api", "kube"]);
    let judged = judged(vec![wanted]);
    assert_eq!(judged.verdicts[0].outcome, Outcome::Accepted);
    let server = &judged.servers[0];
    assert_eq!(server.name, "grizzly");
    assert_eq!(server.route.host.as_deref(), Some("mcp.example.com"));
    assert_eq!(server.route.path_prefix.as_deref(), Some("/grizzly/mcp"));
    assert_eq!(server.required_audiences, ["api", "kube"]);
    assert!(matches!(server.token, TokenSource::Forward));
    // Without a login of our own no client requests it.
    assert_eq!(server.resource, None);
}

#[test]
fn an_exchanging_resource_takes_its_client_from_the_secret() {
    let endpoint = "https://dex.remote.example.com/token";
    let judged = judged(vec![exchanging("muster/far", 1, endpoint, json!({}))]);
    assert_eq!(
        judged.verdicts[0].outcome,
        Outcome::Accepted,
        "{:?}",
        judged.verdicts[0].message
    );
    let exchange = exchange(&judged.servers[0]);
    assert_eq!(exchange.client_id, "kube");
    assert_eq!(exchange.client_secret.expose_secret(), "hidden-secret");
    assert_eq!(exchange.expected_issuer, "https://dex.remote.example.com");
    assert_eq!(exchange.scopes, "openid profile email groups");
}

#[test]
fn a_resource_that_leads_the_aggregator_through_control_still_names_the_remote_issuer() {
    let led = exchanging(
        "muster/far",
        1,
        "https://mcp.example.com/exchange/far/token",
        json!({"expectedIssuer": "https://dex.remote.example.com"}),
    );
    let judged = judged(vec![led]);
    assert_eq!(
        judged.verdicts[0].outcome,
        Outcome::Accepted,
        "{:?}",
        judged.verdicts[0].message
    );
    let endpoint = &exchange(&judged.servers[0]).token_endpoint;
    assert_eq!(endpoint.as_str(), "https://dex.remote.example.com/token");
}

#[test]
fn what_needs_no_token_is_left_alone() {
    let of = |spec: Value| only(resource(MUSTER, "muster/a", 1, spec));
    for (spec, what) in [
        (
            json!({"type": "stdio", "command": "x", "auth": {"forwardToken": true}}),
            "stdio",
        ),
        (
            json!({"type": "sse", "url": "https://a.example.com"}),
            "spec.auth is absent",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"type": "none"}}),
            "auth.type none",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"type": "oauth", "authorizationServer": {"issuer": "https://b"}}}),
            "authorization server of its own",
        ),
    ] {
        let (outcome, _, message) = of(spec.clone());
        assert_eq!(outcome, Outcome::Ignored, "{spec}");
        assert!(message.contains(what), "{message}");
    }
}

#[test]
fn a_bad_resource_is_refused_with_field_fault_and_cure() {
    let of = |spec: Value| only(resource(MUSTER, "muster/a", 1, spec));
    let auth = json!({"type": "oauth", "forwardToken": true});
    for (spec, reason, what) in [
        (json!({"auth": auth}), "InvalidURL", "spec.url is absent"),
        (
            json!({"url": "mcp", "auth": auth}),
            "InvalidURL",
            "spec.url \"mcp\" is not an absolute URL",
        ),
        (
            json!({"url": "ftp://a.example.com", "auth": auth}),
            "InvalidURL",
            "neither https nor http",
        ),
        (
            json!({"url": "https://u:p@a.example.com/x", "auth": auth}),
            "InvalidURL",
            "remove it",
        ),
        (
            json!({"url": "https://10.0.0.1/x", "auth": auth}),
            "InvalidURL",
            "has no host name",
        ),
        (
            json!({"url": "https://a.example.com/%61", "auth": auth}),
            "InvalidURL",
            "not plain",
        ),
        (
            json!({"url": "https://a.example.com/*", "auth": auth}),
            "InvalidURL",
            "not plain",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"type": "oauth"}}),
            "Invalid",
            "spec.auth: ",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"type": "basic", "forwardToken": true}}),
            "Invalid",
            "spec.auth.type",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"type": "none", "forwardToken": true}}),
            "Invalid",
            "set type: oauth",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"forwardToken": true, "requiredAudiences": ["a b"]}}),
            "Invalid",
            "spec.auth.requiredAudiences[0]",
        ),
        (
            json!({"url": "https://a.example.com", "auth": {"forwardToken": true, "requiredAudiences": [1]}}),
            "Invalid",
            "must be a list of texts",
        ),
        (Value::Null, "SpecTooLong", "shorten it"),
    ] {
        let (outcome, found, message) = of(spec.clone());
        assert_eq!((outcome, found), (Outcome::Rejected, reason), "{spec}: {message}");
        assert!(message.contains(what), "{spec}: {message}");
    }
}

#[test]
fn each_fault_of_the_credentials_has_its_reason_and_no_secret_is_named() {
    let endpoint = "https://dex.remote.example.com/token";
    for (reference, reason) in [
        (json!(null), "SecretNotNamed"),
        (
            json!({"name": "credentials", "namespace": "kube-system"}),
            "SecretInAnotherNamespace",
        ),
        (json!({"name": "unknown"}), "TooManySecrets"),
        (
            json!({"name": "credentials", "clientSecretKey": "other"}),
            "SecretKeyMissing",
        ),
    ] {
        let more = json!({"clientCredentialsSecretRef": reference});
        let (outcome, found, message) = only(exchanging("muster/far", 1, endpoint, more));
        assert_eq!((outcome, found), (Outcome::Rejected, reason), "{message}");
        assert!(!message.contains("hidden-secret"), "{message}");
    }
}

#[test]
fn an_sse_server_is_protected_with_the_path_beside_its_stream() {
    let mut sse = forwarding("muster/events", 1, "https://mcp.example.com/events/sse");
    sse.spec["type"] = json!("sse");
    assert_eq!(
        judged(vec![sse]).servers[0].route.path_prefix.as_deref(),
        Some("/events")
    );
    let mut root = forwarding("muster/root", 1, "https://events.example.com/sse");
    root.spec["type"] = json!("sse");
    assert_eq!(judged(vec![root]).servers[0].route.path_prefix, None);
}

#[test]
fn toolhives_proxies_are_servers_at_the_url_that_they_publish() {
    let proxy = |spec: Value| {
        resource(
            ("toolhive.stacklok.dev", "MCPRemoteProxy"),
            "muster/github",
            1,
            spec,
        )
    };
    let published = json!({"remoteUrl": "https://api.github.example.com/mcp", "oidcConfigRef": {
        "name": "dex", "audience": "github-mcp", "resourceUrl": "https://mcp.example.com/github",
    }});
    let judged = judged(vec![proxy(published)]);
    let server = &judged.servers[0];
    assert_eq!(server.route.path_prefix.as_deref(), Some("/github"));
    assert_eq!(server.required_audiences, ["github-mcp"]);
    assert_eq!(
        only(proxy(json!({"remoteUrl": "https://x.example.com"}))).0,
        Outcome::Ignored
    );
    let inside = json!({"oidcConfigRef": {"name": "dex", "audience": "a"}});
    assert_eq!(only(proxy(inside)).0, Outcome::Ignored);
    // v1alpha1 names the issuer inline.
    let inline = |issuer: &str| {
        json!({"oidcConfig": {"type": "inline", "resourceUrl": "https://mcp.example.com/github",
                              "inline": {"issuer": issuer, "audience": "a"}}})
    };
    assert_eq!(
        only(proxy(inline("https://dex.example.com"))).0,
        Outcome::Accepted
    );
    assert_eq!(
        only(proxy(inline("https://other.example.com"))).1,
        "IssuerUnknown"
    );
}

#[test]
fn kagents_servers_are_protected_as_the_configuration_says() {
    let kind = ("kagent.dev", "RemoteMCPServer");
    let spec = json!({"url": "https://mcp.example.com/agents/mcp", "protocol": "STREAMABLE_HTTP"});
    let judged = judged(vec![resource(kind, "muster/agents", 1, spec)]);
    assert_eq!(judged.servers[0].required_audiences, ["kube"]);
    let elsewhere = resource(
        kind,
        "other/agents",
        1,
        json!({"url": "https://mcp.example.com/x"}),
    );
    assert_eq!(only(elsewhere).0, Outcome::Ignored);
}

#[test]
fn with_a_login_of_our_own_the_url_is_the_resource_of_its_clients() {
    let mut config = config_with("{resources: [{namespaces: [muster]}]}");
    config.authorization = Some(crate::config::authorization::any());
    let resources = vec![
        forwarding("muster/a", 1, "https://mcp.example.com/a"),
        forwarding("muster/b", 2, "http://mcp.example.com/b"),
        forwarding("muster/c", 3, "https://mcp.example.com:443/c"),
        forwarding("muster/d", 4, "http://localhost:8080/d"),
    ];
    let judged = judge(&config, &list(resources), &LastGood::new());
    let identifiers: Vec<_> = judged
        .servers
        .iter()
        .map(|server| {
            server
                .resource
                .as_ref()
                .map(|resource| resource.identifier.as_str())
        })
        .collect();
    // One that is not in its normal form is no identifier: clients compare it byte for byte.
    // Plain http is for loopback hosts, as in a configuration.
    assert_eq!(
        identifiers,
        [
            Some("https://mcp.example.com/a"),
            None,
            None,
            Some("http://localhost:8080/d")
        ]
    );
}
