use proptest::prelude::*;
use tokenward_filter::config::FilterConfig;
use tokenward_filter::server_match::{ServerMatch, find_server, path_without_query};

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
        path_without_query(path.as_bytes()),
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

/// Host, path prefix and place of a route, as the reference looks at them: one after the other.
type PlainRoute = (Option<String>, String);

fn plainly_found(routes: &[PlainRoute], host: &str, path: &str) -> Option<usize> {
    let rank = |(pattern, prefix): &PlainRoute| {
        let host = host.to_ascii_lowercase();
        let host_rank = match pattern.as_deref() {
            None => (0, 0),
            Some(wildcard) if wildcard.starts_with('*') => {
                let suffix = &wildcard[1..];
                (host.len() > suffix.len() && host.ends_with(suffix)).then_some((1, suffix.len()))?
            }
            Some(exact) => (host == exact).then_some((2, exact.len()))?,
        };
        let rest = path.strip_prefix(prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some((host_rank, prefix.len()))
    };
    let ranked = routes
        .iter()
        .enumerate()
        .filter_map(|(at, route)| Some((rank(route)?, at)));
    // Among equals the first.
    ranked.rev().max_by_key(|(rank, _)| *rank).map(|(_, at)| at)
}

proptest! {
    #[test]
    fn the_index_finds_what_a_plain_search_finds(
        routes in prop::collection::vec(
            (prop::option::of("(\\*\\.)?(a|b|a\\.b|b\\.a\\.b)"), "(/(a|b|ab)){0,3}"),
            1..40,
        ),
        requests in prop::collection::vec(("(a|b|A\\.b|b\\.a\\.B|c\\.b\\.a\\.b|\\.b)?", "(/(a|b|ab|))*"), 1..40),
    ) {
        let servers: Vec<String> = routes
            .iter()
            .enumerate()
            .map(|(number, (host, prefix))| {
                let host = host.as_ref().map_or_else(String::new, |host| format!(r#""host":"{host}","#));
                format!(
                    r#"{{"name":"s-{number}",{host}"path_prefix":"{prefix}","auth":{{"kind":"forward","issuer":"i"}}}}"#
                )
            })
            .collect();
        let text = format!(
            r#"{{"control":{{"cluster":"c","credential":{{"value":"x"}}}},"servers":[{}]}}"#,
            servers.join(",")
        );
        let config = FilterConfig::parse(text.as_bytes(), |_| None).expect("a good configuration");
        for (host, path) in &requests {
            let expected = plainly_found(&routes, host, path)
                .map_or(ServerMatch::None, ServerMatch::Server);
            let path_alone = path_without_query(path.as_bytes());
            let found = find_server(&config, None, host.as_bytes(), path_alone);
            prop_assert_eq!(found, expected, "{} {}", host, path);
        }
        for number in 0..routes.len() {
            let name = format!("s-{number}");
            let found = find_server(&config, Some(name.as_bytes()), b"", b"");
            prop_assert_eq!(found, ServerMatch::Server(number));
        }
    }
}
