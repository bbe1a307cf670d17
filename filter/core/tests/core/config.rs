use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokenward_filter_core::config::{AnnotationPath, FilterConfig};

use crate::host::CONFIG;

fn base() -> Value {
    serde_json::from_str(CONFIG).unwrap()
}

fn parse(config: &Value) -> Result<FilterConfig, String> {
    FilterConfig::parse(config.to_string().as_bytes(), |name| {
        (name == "CREDENTIAL").then(|| "from-env".to_owned())
    })
    .map_err(|error| error.to_string())
}

/// The base configuration with one value set by JSON pointer.
fn with(pointer: &str, value: Value) -> Value {
    let mut config = base();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = config.pointer_mut(parent).unwrap();
    match parent {
        Value::Object(object) => {
            object.insert(name.to_owned(), value);
        }
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    config
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = parse(&base()).unwrap();
    assert_eq!(config.freshness.margin_ms(), 60_000);
    assert_eq!(config.warn_every_ms, 60_000);
    assert_eq!(config.warn_limit, 1_000);
    assert_eq!(config.replacements, 4096);
    assert_eq!(config.control.pause_ms, 5_500);
    assert_eq!(config.control.authority, "control");
    assert_eq!(
        config.server_annotation,
        Some(AnnotationPath::new("tokenward-server"))
    );
    assert!(!config.table.annotation_first && !config.session_required);
    assert_eq!(config.gate.login_longest_ms, 30_000);
    assert_eq!(config.control.authorization.expose_secret(), "Bearer s3cret");
}

#[test]
fn a_credential_is_sent_as_it_is_without_the_line_break_of_its_file() {
    let config = parse(&with("/control/credential", json!({"value": "a+b/c%d=:\n"}))).unwrap();
    assert_eq!(config.control.authorization.expose_secret(), "Bearer a+b/c%d=:");
    for bad in ["a b", "é", "a\r\nx-header: y", " ", "\u{7f}"] {
        let error = parse(&with("/control/credential", json!({"value": bad}))).unwrap_err();
        assert!(error.starts_with("field control.credential: "), "{error}");
    }
}

#[test]
fn a_credential_may_come_from_envoys_environment() {
    assert!(parse(&with("/control/credential", json!({"env": "CREDENTIAL"}))).is_ok());
    let error = parse(&with("/control/credential", json!({"env": "MISSING"}))).unwrap_err();
    assert!(
        error.contains("control.credential.env")
            && error.contains("host_env_keys")
            && !error.contains("MISSING"),
        "{error}"
    );
}

#[test]
fn every_fault_names_its_field() {
    for (pointer, value, field) in [
        ("/margn", json!("60s"), "margn"),
        ("/margin", json!("sixty"), "margin"),
        ("/margin", json!(60), "margin"),
        ("/margin", json!("0s"), "margin"),
        ("/refresh_ahead", json!("30s"), "refresh_ahead"),
        ("/warn_every", json!("-1s"), "warn_every"),
        ("/warn_limit", json!(0), "warn_limit"),
        ("/warn_limit", json!(4_294_967_296_u64), "warn_limit"),
        ("/warn_limit", json!("1000"), "warn_limit"),
        ("/replacements", json!(0), "replacements"),
        ("/replacements", json!(1.5), "replacements"),
        ("/session_headers", json!(["authorization"]), "session_headers"),
        ("/session_headers", json!("x"), "session_headers"),
        ("/session_required", json!("yes"), "session_required"),
        ("/control/authority", json!("a\r\nx-any: b"), "control.authority"),
        ("/session_headers", json!(vec!["x"; 9]), "session_headers"),
        ("/resource_metadata", json!("https://x y"), "resource_metadata"),
        ("/gate", json!({"first": "1s"}), "gate.first"),
        ("/gate", json!({"login_first": "1 s"}), "gate.login_first"),
        ("/control", json!({"cluster": "c"}), "control.credential"),
        ("/control/cluster", json!(""), "control.cluster"),
        ("/control/timeout", json!("soon"), "control.timeout"),
        (
            "/control/credential",
            json!({"value": "a", "env": "b"}),
            "control.credential",
        ),
        ("/control/credential", json!({"value": ""}), "control.credential"),
        ("/servers", json!([]), "servers"),
        ("/servers", json!({}), "servers"),
        ("/servers/0/name", json!(""), "servers[0].name"),
        ("/servers/0/name", Value::Null, "servers[0].name"),
        ("/servers/0/name", json!("a b"), "servers[0].name"),
        ("/servers/1/name", json!("kubernetes"), "servers[1].name"),
        ("/servers/0/pathPrefix", json!("/x"), "servers[0].pathPrefix"),
        ("/servers/0/path_prefix", json!("x"), "servers[0].path_prefix"),
        (
            "/servers/0/path_prefix",
            json!("/kube?x"),
            "servers[0].path_prefix",
        ),
        (
            "/servers/0/path_prefix",
            json!("/kube#x"),
            "servers[0].path_prefix",
        ),
        ("/servers/0/host", json!("a:80"), "servers[0].host"),
        ("/servers/0/host", json!("*example.com"), "servers[0].host"),
        ("/servers/0/auth/kind", json!("magic"), "servers[0].auth.kind"),
        ("/servers/0/auth/issuer", Value::Null, "servers[0].auth.issuer"),
        (
            "/servers/0/auth/required_audiences",
            json!("kube"),
            "servers[0].auth.required_audiences",
        ),
        (
            "/servers/0/auth/subject_issuer",
            json!("x"),
            "servers[0].auth.subject_issuer",
        ),
        (
            "/servers/1/auth/subject_issuer",
            Value::Null,
            "servers[1].auth.subject_issuer",
        ),
    ] {
        let error = parse(&with(pointer, value)).expect_err(pointer);
        assert!(
            error.starts_with(&format!("field {field}: ")),
            "{pointer}: {error}"
        );
    }
}

#[test]
fn a_field_written_twice_is_refused() {
    let twice = CONFIG.replacen(
        "\"session_headers\"",
        "\"margin\":\"60s\",\"margin\":\"1s\",\"session_headers\"",
        1,
    );
    let error = FilterConfig::parse(twice.as_bytes(), |_| None)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "field margin: is written twice");
}

#[test]
fn no_fault_shows_the_credential() {
    for text in [
        CONFIG.replace("\"cluster\"", "\"clustre\""),
        CONFIG.replace("\"s3cret\"", "\"s3cret\", \"x\": 1"),
    ] {
        let error = FilterConfig::parse(text.as_bytes(), |_| None)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }
    assert!(!format!("{:?}", parse(&base()).unwrap()).contains("ZmlsdGVy"));
}

proptest! {
    #[test]
    fn no_text_panics(at in 0usize..2000, byte: u8, cut in 0usize..2000) {
        let mut text = CONFIG.as_bytes().to_vec();
        let length = text.len();
        text[at % length] = byte;
        let _ = FilterConfig::parse(&text, |_| None);
        let _ = FilterConfig::parse(&text[..cut % length], |_| None);
    }
}

#[test]
fn the_annotation_comes_first_where_it_is_configured_or_the_only_way_to_a_server() {
    let first = |config: &serde_json::Value| parse(config).unwrap().table.annotation_first;
    assert!(!first(&base()));
    assert!(first(&with("/server_annotation", json!("tokenward-server"))));
    let mut without_path = base();
    without_path["servers"][0]
        .as_object_mut()
        .unwrap()
        .remove("path_prefix");
    assert!(first(&without_path));
}

#[test]
fn a_session_that_no_header_can_carry_cannot_be_required() {
    let mut config = with("/session_required", json!(true));
    assert!(parse(&config).unwrap().session_required);
    config["session_headers"] = json!([]);
    let error = parse(&config).unwrap_err();
    assert!(error.starts_with("field session_required: "), "{error}");
}
