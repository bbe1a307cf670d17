//! `servers[].match`, `listener405After` and `issuer`.

use super::{Folder, GOOD, parse};

const SERVER: &str = "- name: kubernetes\n";

fn with(fields: &str) -> String {
    GOOD.replace(SERVER, &format!("{SERVER}  {fields}\n"))
}

#[test]
fn what_filters_learn_of_a_server_is_taken_as_it_is_written() {
    let folder = Folder::new();
    let yaml = with(
        "match: {host: \"*.Example.com\", pathPrefix: /mcp/}\n  listener405After: 5\n  issuer: https://dex.example.com",
    );
    let config = parse(&folder, &yaml).expect("a good configuration");
    let server = config.server("kubernetes").expect("the server");
    assert_eq!(server.route.host.as_deref(), Some("*.Example.com"));
    assert_eq!(server.route.path_prefix.as_deref(), Some("/mcp/"));
    assert_eq!(server.listener_405_after, Some(5));
    assert_eq!(server.home_issuer.as_deref(), Some("https://dex.example.com"));
    let other = config.server("remote-1").expect("the other server");
    assert_eq!((other.listener_405_after, &other.home_issuer), (None, &None));
    assert_eq!(other.route.read(), Ok(None));
}

#[test]
fn what_no_request_can_match_and_what_does_not_exist_is_a_problem_at_its_place() {
    let folder = Folder::new();
    let rows = [
        ("match: {}", "match is empty"),
        (
            "match: {host: \"https://a.example.com\"}",
            "did you mean \"a.example.com\"?",
        ),
        ("match: {host: \"a.example.com:8443\"}", "match.host"),
        ("match: {pathPrefix: mcp}", "match.pathPrefix"),
        ("match: {pathPrefix: \"/mcp/*\"}", "did you mean \"/mcp\"?"),
        ("match: {path: /mcp}", "pathPrefix"),
        ("listener405After: 0", "listener405After is 0"),
        ("listener405After: -1", "listener405After"),
        ("issuer: https://other.example.com", "is none of issuers"),
    ];
    for (fields, what) in rows {
        let problems = parse(&folder, &with(fields)).expect_err(fields);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(texts.len() == 1 && texts[0].contains(what), "{fields}: {texts:?}");
        assert_eq!(problems[0].line, 12, "{fields}: {texts:?}");
    }
}

#[test]
fn two_servers_for_the_same_requests_are_a_problem() {
    let folder = Folder::new();
    let matcher = "match: {host: A.example.com, pathPrefix: /mcp/}";
    let yaml = with(matcher).replace(
        "- name: remote-1\n",
        "- name: remote-1\n  match: {host: a.example.com, pathPrefix: /mcp}\n",
    );
    let problems = parse(&folder, &yaml).expect_err("the same match twice");
    assert!(
        problems[0]
            .to_string()
            .contains("match is the same as that of server \"kubernetes\"")
    );
    assert_eq!(problems.len(), 1);
}

#[test]
fn more_servers_than_a_filter_takes_are_a_problem() {
    let folder = Folder::new();
    let more = |count: usize| -> String {
        (0..count)
            .map(|number| format!("- name: more-{number}\n  auth: {{forwardToken: true}}\n"))
            .collect()
    };
    let yaml = |count| GOOD.replace("servers:\n", &format!("servers:\n{}", more(count)));
    assert!(parse(&folder, &yaml(998)).is_ok());
    let problems = parse(&folder, &yaml(999)).expect_err("1001 servers");
    assert!(
        problems[0].to_string().contains("more than 1000 servers"),
        "{problems:?}"
    );
}
