use proptest::prelude::*;
use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::server_match::{ServerMatch, find_server, path_without_query};

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
        ServerMatch::Server(index) => config.table.servers[index].name.clone(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_annotation_comes_first_and_an_unknown_one_lets_nothing_pass() {
    assert_eq!(found(Some("annotated"), "mcp.example.com", "/kube"), "annotated");
    assert_eq!(found(Some("kube"), "other", "/"), "kube");
    assert_eq!(
        found(Some("unknown"), "mcp.example.com", "/kube"),
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
        (":.b.example.com", "/x", "UnreadableHost"),
        (":443", "/kube", "UnreadableHost"),
        ("", "", "UnreadableHost"),
    ] {
        assert_eq!(found(None, authority, path), expected, "{authority} {path}");
    }
}

#[test]
fn every_spelling_of_a_host_leads_to_its_server_or_to_a_refusal() {
    for (host, server) in [("mcp.example.com", "host"), ("a.example.com", "wild")] {
        let same = [
            host.to_owned(),
            host.to_ascii_uppercase(),
            format!("{host}."),
            format!("{host}.."),
            format!("{host}:443"),
            format!("{host}.:443"),
            format!("{host}:"),
            format!("{}.:8443", host.to_ascii_uppercase()),
        ];
        for authority in same {
            assert_eq!(found(None, &authority, "/x"), server, "{authority}");
        }
        let refused = [
            format!("user@{host}"),
            format!("user:secret@{host}:443"),
            format!("@{host}"),
            format!("{host}@elsewhere.example.org"),
            format!("{host}:443@elsewhere.example.org"),
            format!("{host}:443:443"),
            format!("{host}:https"),
            format!(".{host}"),
            format!("{host} "),
            format!(" {host}"),
            format!("{host}\t"),
            format!("{host}/"),
            format!("{host}%2e"),
            format!("{host}\u{e9}"),
            host.replace('.', ".."),
            host.replace('.', "%2e"),
            format!("[{host}]"),
            "[]".to_owned(),
            "[::1".to_owned(),
            "[::1]x".to_owned(),
            "[fe80::1%25eth0]".to_owned(),
            ".".to_owned(),
        ];
        for authority in refused {
            assert_eq!(found(None, &authority, "/x"), "UnreadableHost", "{authority:?}");
        }
    }
}

#[test]
fn where_no_matcher_has_a_host_any_authority_is_as_good() {
    let text = r#"{"control":{"cluster":"c","credential":{"value":"x"}},
        "servers":[{"name":"s","path_prefix":"/s","auth":{"kind":"forward","issuer":"i"}}]}"#;
    let config = FilterConfig::parse(text.as_bytes(), |_| None).unwrap();
    for authority in ["any", "user@any", "any.:443:443", "\u{e9}"] {
        let found = find_server(&config, None, authority.as_bytes(), b"/s/mcp");
        assert_eq!(found, ServerMatch::Server(0), "{authority}");
    }
}

/// Host, path prefix and position of a route, as the reference compares them: one after the other.
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
            // Where hosts decide, one that is none is refused.
            let is_readable = !(host.is_empty() || host.starts_with('.')) || !config.table.hosts_decide;
            let expected = match plainly_found(&routes, host, path) {
                _ if !is_readable => ServerMatch::UnreadableHost,
                found => found.map_or(ServerMatch::None, ServerMatch::Server),
            };
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
