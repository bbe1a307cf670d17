//! The filter's configuration: what is accepted can be used as it is, and no fault shows the credential.

use secrecy::ExposeSecret;
use serde_json::Value;
use tokenward_filter_core::config::{AuthKind, FilterConfig, HostPattern, Server};
use tokenward_filter_core::server_match::{ServerMatch, find_server, path_without_query};
use tokenward_protocol::duration::{parse_duration, whole_ms};
use tokenward_protocol::freshness::{Freshness, in_ms};

/// The credential of the seeds. Where it stands only as the credential, no fault may show it.
const SECRET: &str = "s3cret";
const SECRET_FROM_ENVIRONMENT: &str = "Secret-0f-the-environment";
const MOST_SERVERS: usize = 4096;

/// Parses a configuration; the environment has `CREDENTIAL` only.
pub fn filter_config(data: &[u8]) {
    let environment = |name: &str| (name == "CREDENTIAL").then(|| SECRET_FROM_ENVIRONMENT.to_owned());
    // Where the readers differ (huge numbers, deep nesting) there is no second opinion.
    let json = serde_json::from_slice::<Value>(data).ok();
    match FilterConfig::parse(data, environment) {
        Ok(config) => {
            usable(&config);
            hides_the_credential(&config);
            if let Some(json) = &json {
                as_written(&config, json);
            }
        }
        Err(error) => {
            let (shown, detail) = (error.to_string(), format!("{error:?}"));
            assert!(shown.starts_with("field "), "{shown}");
            for text in [shown, detail] {
                assert!(!text.contains(SECRET_FROM_ENVIRONMENT) || holds(data, SECRET_FROM_ENVIRONMENT));
                assert!(
                    !text.contains(SECRET) || !must_not_show_it(data, json.as_ref()),
                    "{text}"
                );
            }
        }
    }
}

fn usable(config: &FilterConfig) {
    let servers = &config.table.servers;
    assert!((1..=MOST_SERVERS).contains(&servers.len()));
    let mut names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), servers.len());
    let margin_ms = config.freshness.margin_ms();
    assert_eq!(config.freshness.judge(0, 1), Freshness::Stale);
    // The latest `exp` there is counts as the last whole second of the range of milliseconds.
    let stale_from_ms = in_ms(u64::MAX) - margin_ms;
    assert_eq!(config.freshness.judge(u64::MAX, stale_from_ms), Freshness::Stale);
    assert_ne!(
        config.freshness.judge(u64::MAX, stale_from_ms - 1),
        Freshness::Stale
    );
    assert!(!config.control.cluster.is_empty());
    assert!(u128::from(config.control.pause_ms) > config.control.timeout.as_millis());
    assert!(config.control.pause_ms < 61_000);
    let gate = config.gate;
    for ms in [
        config.warn_every_ms,
        gate.transient_first_ms,
        gate.transient_longest_ms,
        gate.login_first_ms,
        gate.login_longest_ms,
        gate.misconfigured_ms,
    ] {
        assert!(ms > 0);
    }
    assert!(config.replacements > 0);
    for name in &config.session_headers {
        assert!(!name.is_empty() && name != "authorization" && *name == name.to_ascii_lowercase());
    }
    servers.iter().for_each(|server| server_is_usable(config, server));
}

fn server_is_usable(config: &FilterConfig, server: &Server) {
    assert!(!server.name.is_empty() && !server.presented.issuer.is_empty());
    assert!(!server.delivered.issuer.is_empty());
    if server.kind == AuthKind::Forward {
        assert_eq!(server.presented, server.delivered);
    }
    if server.is_opaque {
        // A presented token is never what such a server gets.
        assert!(!server.takes(&server.delivered.issuer) && !server.takes(&server.presented.issuer));
    }
    assert_ne!(server.listener_405_after, Some(0));
    if let Some(url) = &server.resource_metadata {
        assert!(!url.is_empty() && !url.contains(['"', '\\', ' ', '\r', '\n']));
    }
    let annotated = find_server(config, Some(server.name.as_bytes()), b"", b"");
    assert!(
        matches!(annotated, ServerMatch::Server(index) if config.table.servers[index].name == server.name)
    );
    let Some(route) = &server.route else {
        return;
    };
    assert!(route.path_prefix.is_empty() || route.path_prefix.starts_with('/'));
    assert!(!route.path_prefix.ends_with('/'));
    let host = match &route.host {
        None => "any.example".to_owned(),
        Some(HostPattern::Exact(host)) => host.clone(),
        Some(HostPattern::Suffix(suffix)) => format!("a{suffix}"),
    };
    let path = format!("{}/x?y", route.path_prefix);
    // A route that no request can match would silently leave its server unprotected.
    let found = |host: &str| find_server(config, None, host.as_bytes(), path_without_query(path.as_bytes()));
    assert!(matches!(found(&host), ServerMatch::Server(_)), "{host} {path}");
    // Nor does another spelling of the host lead past it.
    for spelling in [
        host.to_ascii_uppercase(),
        format!("{host}."),
        format!("{host}.:443"),
    ] {
        assert_eq!(found(&spelling), found(&host), "{spelling} {path}");
    }
    if route.host.is_some() {
        assert_eq!(
            found(&format!("user@{host}")),
            ServerMatch::UnreadableHost,
            "{host}"
        );
    }
    // What every reader takes for the same path, and no sign of a pattern.
    let segments = route.path_prefix.split('/').skip(1);
    assert!(
        segments
            .into_iter()
            .all(|segment| !matches!(segment, "" | "." | ".."))
    );
    assert!(
        !route
            .path_prefix
            .contains(['*', '%', '(', '[', '{', '|', '^', '$', '\\', ' '])
    );
}

fn hides_the_credential(config: &FilterConfig) {
    let authorization = config.control.authorization.expose_secret();
    assert!(!format!("{config:?}").contains(authorization));
    assert!(
        authorization
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    );
}

fn as_written(config: &FilterConfig, json: &Value) {
    let span_ms = |name: &str, default: &str| {
        let text = json.get(name).and_then(Value::as_str).unwrap_or(default);
        parse_duration(text).map(whole_ms).ok()
    };
    let (margin_ms, ahead_ms) = (span_ms("margin", "60s"), span_ms("refresh_ahead", "120s"));
    assert_eq!(Some(config.freshness.margin_ms()), margin_ms);
    assert!(margin_ms <= ahead_ms);
    let credential = json
        .pointer("/control/credential/value")
        .and_then(Value::as_str)
        .unwrap_or(SECRET_FROM_ENVIRONMENT);
    let bearer = config
        .control
        .authorization
        .expose_secret()
        .strip_prefix("Bearer ");
    // A file of a secret mostly ends in a line break.
    assert_eq!(bearer, Some(credential.trim()));
    assert!(bearer.is_some_and(|bearer| bearer.bytes().all(|byte| byte.is_ascii_graphic())));
    let servers = json.get("servers").and_then(Value::as_array).map(Vec::len);
    assert_eq!(Some(config.table.servers.len()), servers);
}

/// Whether the text has the secret as its credential and nowhere else, or is no JSON: such a fault quotes nothing.
fn must_not_show_it(data: &[u8], json: Option<&Value>) -> bool {
    let Some(json) = json else {
        return tokenward_protocol::json::parse(data).is_err();
    };
    let credential = json.pointer("/control/credential/value").and_then(Value::as_str);
    credential.is_some_and(|value| value.contains(SECRET)) && mentions(json) == 1
}

fn mentions(json: &Value) -> usize {
    match json {
        Value::String(text) => usize::from(text.contains(SECRET)),
        Value::Array(items) => items.iter().map(mentions).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| usize::from(name.contains(SECRET)) + mentions(value))
            .sum(),
        _ => 0,
    }
}

fn holds(data: &[u8], text: &str) -> bool {
    data.windows(text.len()).any(|window| window == text.as_bytes())
}
