//! The configuration of the authorization server whose access tokens the servers take.

use serde_json::{Value, json};
use tokenward_filter_core::config::{AccessTokens, FilterConfig};

fn base() -> Value {
    json!({
        "control": {"cluster": "c", "credential": {"value": "x"}},
        "authorization_server": {"issuer": "https://gw.example.com"},
        "servers": [
            {"name": "a", "path_prefix": "/a", "resource": "https://gw.example.com/a",
             "auth": {"kind": "forward", "issuer": "https://dex.example.com"}},
            {"name": "b", "path_prefix": "/b", "auth": {"kind": "forward", "issuer": "https://dex.example.com"}},
        ],
    })
}

fn parse(config: &Value) -> Result<FilterConfig, String> {
    FilterConfig::parse(config.to_string().as_bytes(), |_| None).map_err(|error| error.to_string())
}

fn metadata_of(resource: &str) -> Option<String> {
    let mut config = base();
    config["servers"][0]["resource"] = json!(resource);
    parse(&config).expect(resource).table.servers[0]
        .resource_metadata
        .clone()
}

#[test]
fn only_servers_that_are_resources_take_access_tokens_and_only_with_an_authorization_server() {
    let config = parse(&base()).unwrap();
    let taken = AccessTokens {
        resource: "https://gw.example.com/a".to_owned(),
        scope: "mcp".to_owned(),
    };
    assert_eq!(config.table.servers[0].access_tokens, Some(taken));
    assert_eq!(config.table.servers[1].access_tokens, None);
    let mut without = base();
    without.as_object_mut().unwrap().remove("authorization_server");
    let config = parse(&without).unwrap();
    assert_eq!(config.table.servers[0].access_tokens, None);
    assert!(config.table.authorization_server.is_none());
    assert!(config.table.servers[0].resource_metadata.is_some());
}

#[test]
fn the_address_of_a_resources_document_follows_from_the_resource_unless_it_is_set() {
    let well_known = "/.well-known/oauth-protected-resource";
    for (resource, document) in [
        (
            "https://gw.example.com/a",
            format!("https://gw.example.com{well_known}/a"),
        ),
        (
            "https://gw.example.com/a/mcp",
            format!("https://gw.example.com{well_known}/a/mcp"),
        ),
        (
            "https://gw.example.com/a/",
            format!("https://gw.example.com{well_known}/a/"),
        ),
        (
            "https://gw.example.com",
            format!("https://gw.example.com{well_known}"),
        ),
        (
            "https://gw.example.com/",
            format!("https://gw.example.com{well_known}"),
        ),
        (
            "http://127.0.0.1:8080/a?tenant=x/y",
            format!("http://127.0.0.1:8080{well_known}/a?tenant=x/y"),
        ),
        (
            "https://gw.example.com?x",
            format!("https://gw.example.com{well_known}?x"),
        ),
    ] {
        assert_eq!(metadata_of(resource), Some(document), "{resource}");
    }
    let mut config = base();
    config["resource_metadata"] = json!("https://general.example.com/document");
    assert_eq!(
        parse(&config).unwrap().table.servers[0]
            .resource_metadata
            .as_deref(),
        Some("https://gw.example.com/.well-known/oauth-protected-resource/a")
    );
    assert_eq!(
        parse(&config).unwrap().table.servers[1]
            .resource_metadata
            .as_deref(),
        Some("https://general.example.com/document")
    );
    config["servers"][0]["resource_metadata"] = json!("https://own.example.com/document");
    assert_eq!(
        parse(&config).unwrap().table.servers[0]
            .resource_metadata
            .as_deref(),
        Some("https://own.example.com/document")
    );
}

#[test]
fn every_fault_names_its_field() {
    for (pointer, value, field) in [
        (
            "/authorization_server",
            json!("https://gw.example.com"),
            "authorization_server",
        ),
        (
            "/authorization_server/issuer",
            Value::Null,
            "authorization_server.issuer",
        ),
        (
            "/authorization_server/issuer",
            json!(""),
            "authorization_server.issuer",
        ),
        (
            "/authorization_server/scope",
            json!(""),
            "authorization_server.scope",
        ),
        (
            "/authorization_server/scope",
            json!("a\"b"),
            "authorization_server.scope",
        ),
        (
            "/authorization_server/scope",
            json!("a\\b"),
            "authorization_server.scope",
        ),
        (
            "/authorization_server/scope",
            json!("é"),
            "authorization_server.scope",
        ),
        (
            "/authorization_server/audience",
            json!("x"),
            "authorization_server.audience",
        ),
        (
            "/servers/0/resource",
            json!("gw.example.com/a"),
            "servers[0].resource",
        ),
        (
            "/servers/0/resource",
            json!("ftp://gw.example.com/a"),
            "servers[0].resource",
        ),
        ("/servers/0/resource", json!("https:///a"), "servers[0].resource"),
        (
            "/servers/0/resource",
            json!("https://gw.example.com/a#b"),
            "servers[0].resource",
        ),
        (
            "/servers/0/resource",
            json!("https://gw.example.com/\""),
            "servers[0].resource",
        ),
        ("/servers/0/resource", json!(""), "servers[0].resource"),
        (
            "/servers/1/auth/issuer",
            json!("https://gw.example.com"),
            "servers[1].auth",
        ),
    ] {
        let mut config = base();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value;
        let error = parse(&config).expect_err(pointer);
        assert!(
            error.starts_with(&format!("field {field}: ")),
            "{pointer}: {error}"
        );
    }
    let mut exchange = base();
    exchange["servers"][1]["auth"] = json!({
        "kind": "exchange", "issuer": "https://remote.example.com", "subject_issuer": "https://gw.example.com",
    });
    let error = parse(&exchange).unwrap_err();
    assert!(error.starts_with("field servers[1].auth: "), "{error}");
}
