//! What happens to requests that are for none of the servers.

use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::server_match::{ServerMatch, find_server, path_without_query};

fn parse(settings: &str) -> Result<FilterConfig, String> {
    let text = format!(
        r#"{{"control":{{"cluster":"c","credential":{{"value":"x"}}}},{settings}
        "servers":[{{"name":"s","host":"mcp.example.com","path_prefix":"/s","auth":{{"kind":"forward","issuer":"i"}}}}]}}"#
    );
    FilterConfig::parse(text.as_bytes(), |_| None).map_err(|error| error.to_string())
}

fn found(config: &FilterConfig, authority: &str, path: &str) -> ServerMatch {
    find_server(
        config,
        None,
        authority.as_bytes(),
        path_without_query(path.as_bytes()),
    )
}

#[test]
fn by_default_a_request_that_no_server_matches_passes() {
    for settings in ["", r#""unmatched":"pass","#] {
        let config = parse(settings).unwrap();
        assert_eq!(found(&config, "mcp.example.com", "/t"), ServerMatch::None);
        assert_eq!(found(&config, "other", "/s"), ServerMatch::None);
        assert_eq!(found(&config, "mcp.example.com", "/s"), ServerMatch::Server(0));
    }
}

#[test]
fn refused_is_every_request_that_neither_a_server_nor_an_unprotected_matcher_matches() {
    let config = parse(
        r#""unmatched":"refuse","unprotected":[
            {"host":"mcp.example.com","path_prefix":"/.well-known/oauth-protected-resource"},
            {"host":"*.open.example.com"},
            {"path_prefix":"/healthz"}],"#,
    )
    .unwrap();
    let (pass, refuse) = (ServerMatch::None, ServerMatch::Unmatched);
    let metadata = "/.well-known/oauth-protected-resource";
    for (authority, path, expected) in [
        ("mcp.example.com", "/s/mcp", ServerMatch::Server(0)),
        ("mcp.example.com", metadata, pass),
        (
            "MCP.example.com.:443",
            "/.well-known/oauth-protected-resource/s/mcp?x",
            pass,
        ),
        ("other.example.com", metadata, refuse),
        (
            "mcp.example.com",
            "/.well-known/oauth-protected-resources",
            refuse,
        ),
        ("mcp.example.com", "/", refuse),
        ("a.open.example.com", "/anything", pass),
        ("open.example.com", "/anything", refuse),
        ("any", "/healthz", pass),
        ("any", "/healthz/", pass),
        ("any", "/healthzz", refuse),
        ("any", "*", refuse),
        // Another reader could take these for a path outside.
        ("any", "/healthz/../s/mcp", refuse),
        ("any", "/healthz/./s", refuse),
        ("any", "/healthz/..", refuse),
        ("any", "/healthz//s", refuse),
        ("any", "/healthz/%2e%2e/s", refuse),
        ("any", "/healthz/..;/s", refuse),
        ("any", r"/healthz\..\s", refuse),
    ] {
        assert_eq!(found(&config, authority, path), expected, "{authority} {path}");
    }
}

#[test]
fn a_server_comes_before_an_unprotected_matcher() {
    let config = parse(r#""unmatched":"refuse","unprotected":[{"path_prefix":"/s/mcp"}],"#).unwrap();
    assert_eq!(
        found(&config, "mcp.example.com", "/s/mcp"),
        ServerMatch::Server(0)
    );
    assert_eq!(found(&config, "other", "/s/mcp"), ServerMatch::None);
}

#[test]
fn settings_that_cannot_be_meant_are_faults_that_name_the_field() {
    for (settings, field) in [
        (r#""unmatched":"block","#, "unmatched"),
        (r#""unmatched":true,"#, "unmatched"),
        (r#""unprotected":[{"path_prefix":"/x"}],"#, "unprotected"),
        (r#""unmatched":"pass","unprotected":[],"#, "unprotected"),
        (r#""unmatched":"refuse","unprotected":{},"#, "unprotected"),
        (r#""unmatched":"refuse","unprotected":[{}],"#, "unprotected[0]"),
        (
            r#""unmatched":"refuse","unprotected":[{"path":"/x"}],"#,
            "unprotected[0].path",
        ),
        (
            r#""unmatched":"refuse","unprotected":[{"path_prefix":"/x"},{"path_prefix":"/x/*"}],"#,
            "unprotected[1].path_prefix",
        ),
        (
            r#""unmatched":"refuse","unprotected":[{"host":"x."}],"#,
            "unprotected[0].host",
        ),
    ] {
        let fault = parse(settings).expect_err(settings);
        assert!(fault.starts_with(&format!("field {field}: ")), "{fault}");
    }
}
