use tokenward_filter::config::FilterConfig;
use tokenward_filter::server_match::{ServerMatch, find_server};

pub(crate) fn config() -> FilterConfig {
    let server = |name: &str, route: &str| {
        format!(r#"{{"name":"{name}",{route}"auth":{{"kind":"forward","issuer":"i"}}}}"#)
    };
    let servers = [
        server("annotated", ""),
        server("kube", r#""path_prefix":"/kube","#),
        server("kube-admin", r#""path_prefix":"/kube/admin/","#),
        server("host", r#""host":"MCP.example.com","#),
        server("host-kube", r#""host":"mcp.example.com","path_prefix":"/kube","#),
        server("wild", r#""host":"*.example.com","#),
    ];
    let text = format!(
        r#"{{"control":{{"cluster":"c","credential":{{"value":"x"}}}},"servers":[{}]}}"#,
        servers.join(",")
    );
    FilterConfig::parse(text.as_bytes(), |_| None).unwrap()
}

fn found(annotation: Option<&str>, authority: &str, path: &str) -> String {
    let config = config();
    match find_server(
        &config,
        annotation.map(str::as_bytes),
        authority.as_bytes(),
        path.as_bytes(),
    ) {
        ServerMatch::Server(index) => config.servers[index].name.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_annotation_comes_first_and_an_unknown_one_lets_nothing_pass() {
    assert_eq!(found(Some("annotated"), "mcp.example.com", "/kube"), "annotated");
    assert_eq!(found(Some("kube"), "other", "/"), "kube");
    assert_eq!(
        found(Some("nobody"), "mcp.example.com", "/kube"),
        "UnknownAnnotation"
    );
}

#[test]
fn host_and_path_are_matched_as_gateway_api_orders_routes() {
    for (authority, path, expected) in [
        ("any", "/kube", "kube"),
        ("any", "/kube/", "kube"),
        ("any", "/kube?x=/admin", "kube"),
        ("any", "/kube/x", "kube"),
        ("any", "/kube/admin", "kube-admin"),
        ("any", "/kube/admin/x", "kube-admin"),
        ("any", "/kubernetes", "None"),
        ("any", "/Kube", "None"),
        ("any", "/", "None"),
        ("mcp.example.com", "/", "host"),
        ("MCP.Example.COM:8443", "/x", "host"),
        ("mcp.example.com", "/kube/admin", "host-kube"),
        ("a.b.example.com", "/kube", "wild"),
        ("example.com", "/x", "None"),
        ("evilexample.com", "/x", "None"),
        ("[::1]:80", "/kube", "kube"),
        // Nothing but a port, whatever is in it.
        (":.b.example.com", "/x", "None"),
        (":443", "/kube", "kube"),
        ("", "", "None"),
    ] {
        assert_eq!(found(None, authority, path), expected, "{authority} {path}");
    }
}
