//! Faults of the shape: all at once, each with its position and the probable intention, without the library's own terms.

use super::config::{Folder, GOOD, parse};

/// The problems of `yaml`: line and message.
fn problems(yaml: &str) -> Vec<(u64, String)> {
    let folder = Folder::new();
    match parse(&folder, yaml) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| (problem.line, format!("{}; {}", problem.what, problem.hint)))
            .collect(),
    }
}

/// Expects one problem for each of `parts`, with that line and text.
fn assert_problems(yaml: &str, parts: &[(u64, &str)]) {
    let problems = problems(yaml);
    assert_eq!(problems.len(), parts.len(), "{problems:#?}");
    for ((line, problem), (expected_line, part)) in problems.iter().zip(parts) {
        assert_eq!(line, expected_line, "{problem}");
        assert!(problem.contains(part), "{problem:?} lacks {part:?}");
        for leak in [
            "serde",
            "Options",
            "Policy",
            "struct ",
            "u32",
            "from_multiple",
            "invalid type",
        ] {
            assert!(!problem.contains(leak), "{problem}");
        }
    }
}

#[test]
fn faults_of_shape_and_content_are_reported_at_once_in_the_order_of_the_file() {
    let yaml = GOOD
        .replace("margin: 30s", "margn: 30s\nlease: 10m\ncaller_deadline: [4s]")
        .replace(
            "client_id: muster\n",
            "client_id: muster\n  clientSecret: x\n  polcy: strict\n",
        )
        .replace("requiredAudiences: [kube]", "requiredAudience: [kube]")
        .replace("enabled: true", "enabled: \"true\"")
        .replace("connectorId: home", "connectorId: home\n      connectorId: other");
    assert_problems(
        &yaml,
        &[
            (5, "margn is not known; did you mean margin?"),
            (6, "lease must be shorter than 60s"),
            (7, "caller_deadline must be a text, and is a list"),
            (11, "clientSecret is not known in issuers[0]"),
            (12, "polcy is not known in issuers[0]; did you mean policy?"),
            (
                16,
                "requiredAudience is not known in servers[0].auth; did you mean requiredAudiences?",
            ),
            (
                23,
                "tokenExchange.enabled must be true or false, without quotes, and is a text",
            ),
            (
                26,
                "tokenExchange.connectorId occurs twice; remove one of them: the first is in line 25",
            ),
        ],
    );
}

#[test]
fn every_missing_member_is_named_and_a_mistyped_one_is_not_missing_as_well() {
    assert_problems(
        "store: {embedded: {path: x}}\n",
        &[
            (1, "credentials is missing"),
            (1, "sealing is missing"),
            (1, "issuers is missing"),
            (1, "servers is missing"),
        ],
    );
    let yaml = GOOD
        .replace(
            "issuer: https://dex.example.com\n  client_id: muster\n",
            "policy: strict\n",
        )
        .replace("credentials: {filter:", "credentials: {filtr:");
    assert_problems(
        &yaml,
        &[
            (2, "filtr is not known in credentials; did you mean filter?"),
            (7, "issuers[0] has no issuer"),
            (7, "issuers[0] has no client_id"),
        ],
    );
    let yaml = GOOD.replace("{embedded: {path: DIR/db}}", "{valkey: {uri: \"redis://a\"}}");
    assert_problems(
        &yaml,
        &[(3, "uri is not known in store.valkey; did you mean url?")],
    );
}

#[test]
fn a_wrong_type_is_reported_with_the_right_one() {
    let rows = [
        (
            "issuers:\n- issuer",
            "issuers:\n  issuer",
            7,
            "issuers must be a list, and is a map",
        ),
        (
            "requiredAudiences: [kube]",
            "requiredAudiences: kube",
            12,
            "requiredAudiences must be a list, and is a text",
        ),
        (
            "forwardToken: true, requ",
            "forwardToken: yes please, requ",
            12,
            "forwardToken must be true or false",
        ),
        (
            "margin: 30s",
            "intake: {connections: many}",
            5,
            "intake.connections must be a whole number, and is a text",
        ),
        (
            "margin: 30s",
            "intake: {connections: -1}",
            5,
            "intake.connections must be a whole number",
        ),
        (
            "margin: 30s",
            "intake: {connections: 4294967296}",
            5,
            "intake.connections must be a smaller number",
        ),
        (
            "margin: 30s",
            "intake: 10s",
            5,
            "intake must be a map, and is a text",
        ),
        (
            "client_id: muster",
            "client_id:",
            8,
            "client_id must be a text, and is empty",
        ),
        (
            "client_id: muster",
            "client_id: {a: b}",
            8,
            "client_id must be a text, and is a map",
        ),
        (
            "{file: DIR/key}",
            "[a]",
            4,
            "key must be {file: /path/to/it} or {env: NAME_OF_VARIABLE}",
        ),
        (
            "{file: DIR/key}",
            "{path: DIR/key}",
            4,
            "path is not known in sealing.current.key; known here: file, env",
        ),
    ];
    for (from, to, line, part) in rows {
        let yaml = GOOD.replacen(from, to, 1);
        assert_ne!(yaml, GOOD, "{from}");
        assert_problems(&yaml, &[(line, part)]);
    }
}

/// The text as written: a client id may be 0123.
#[test]
fn a_text_may_look_like_a_number() {
    let folder = Folder::new();
    let yaml = GOOD.replace("client_id: muster", "client_id: 0123");
    let config = parse(&folder, &yaml).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.issuers[0].client_id, "0123");
}

#[test]
fn what_is_not_yaml_or_not_a_configuration_is_reported_without_library_terms() {
    let rows = [
        ("", 0, "it is empty"),
        ("# nothing\n", 0, "it is empty"),
        ("just a text\n", 1, "the document must be a map, and is a text"),
        ("- a\n- b\n", 1, "the document must be a map, and is a list"),
        (
            "margin: 30s\n---\nmargin: 40s\n",
            3,
            "a second document begins here",
        ),
        ("margin: [30s\n", 2, "this is not YAML"),
        ("margin: *other\n", 1, "has no anchor (&name)"),
        ("a: &a [x, x]\nb: {c\n", 3, "this is not YAML"),
        ("? {a: b}\n: c\n", 1, "this cannot be read as YAML"),
    ];
    for (yaml, line, part) in rows {
        let problems = problems(yaml);
        let [(at, words)] = problems.as_slice() else {
            panic!("{yaml:?}: {problems:#?}");
        };
        assert!(words.contains(part), "{yaml:?}: {words}");
        assert!(at.abs_diff(line) <= 1, "{yaml:?}: line {at}");
        for leak in ["serde", "Options", "Policy", "from_multiple", "alias replay"] {
            assert!(!words.contains(leak), "{words}");
        }
    }
}

#[test]
fn an_unknown_key_is_reported_on_one_line_however_it_is_written() {
    let yaml = GOOD.replace("margin: 30s", "\"mar\\ngin\\e[31m\": 30s");
    let problems = problems(&yaml);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(!problems[0].1.chars().any(char::is_control), "{problems:?}");
}

#[test]
fn a_document_with_nothing_but_faults_is_checked_quickly() {
    let servers = "- {name: 7, auth: []}\n".repeat(2_000);
    let head = GOOD.split("servers:").next().expect("its beginning");
    let faults = problems(&format!("{head}servers:\n{servers}")).len();
    assert!((100..=2_000).contains(&faults), "{faults}");
}

#[test]
fn a_secret_pasted_in_any_shape_and_place_is_never_quoted() {
    let rows = [
        ("{file: DIR/client}", "hunter2-very-secret"),
        ("{file: DIR/client}", "[hunter2-very-secret]"),
        ("{file: DIR/client}", "{value: hunter2-very-secret}"),
        ("{file: DIR/client}", "{file: {value: hunter2-very-secret}}"),
        ("margin: 30s", "intake: {connections: hunter2-very-secret}"),
        (
            "forwardToken: true, requ",
            "forwardToken: hunter2-very-secret, requ",
        ),
        (
            "{embedded: {path: DIR/db}}",
            "{valkey: {url: \"redis://:hunter2-very-secret@a\"}}",
        ),
        (
            "{embedded: {path: DIR/db}}",
            "{valkey: {url: \"unix:///a?pass=hunter2-very-secret\"}}",
        ),
        (
            "{embedded: {path: DIR/db}}",
            "{valkey: {url: \"redis://a\", cluster: {more: [\"redis://:hunter2-very-secret@a\"]}}}",
        ),
    ];
    for (from, to) in rows {
        let yaml = GOOD.replacen(from, to, 1);
        assert_ne!(yaml, GOOD, "{from}");
        let problems = problems(&yaml);
        assert!(!problems.is_empty(), "{to}");
        assert!(
            problems.iter().all(|(_, words)| !words.contains("hunter2")),
            "{problems:#?}"
        );
    }
}

#[test]
fn durations_are_within_the_documented_limits() {
    let rows = [
        ("margin: 3h", "margin must be shorter than 900s"),
        ("margin: 0s", "margin must not be zero"),
        ("caller_deadline: 60s", "caller_deadline must be shorter than 60s"),
        ("lease: 10m", "lease must be shorter than 60s"),
        ("lease: 20ms", "lease is shorter than 1s"),
        ("issuer_timeout: 720h", "issuer_timeout must be shorter than 600s"),
        ("margin: 999999h", "bad duration"),
        ("margin: 99999999999999999999h", "bad duration"),
        ("margin: -1s", "bad duration"),
        ("margin: 1.5s", "bad duration"),
    ];
    for (setting, part) in rows {
        assert_problems(&GOOD.replace("margin: 30s", setting), &[(5, part)]);
    }
    let yaml = GOOD.replace(
        "{embedded: {path: DIR/db}}",
        "{embedded: {path: DIR/db}, deadline: 2m}",
    );
    assert_problems(&yaml, &[(3, "store.deadline must be shorter than 60s")]);
}

#[test]
fn a_credential_that_can_be_guessed_or_cannot_be_sent_is_rejected() {
    for (content, part) in [
        (
            "fifteen-bytes-a",
            "credentials.filter has 15 bytes, and needs at least 16",
        ),
        (
            "a credential with blanks",
            "credentials.filter contains whitespace",
        ),
        (
            "ein-Schlüssel-mit-Umlaut",
            "credentials.filter contains whitespace",
        ),
    ] {
        let folder = Folder::new();
        folder.write("filter", content);
        let problems = parse(&folder, GOOD).expect_err(content);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].what.contains(part), "{}", problems[0]);
        assert!(!problems[0].to_string().contains(content), "{}", problems[0]);
        assert!(problems[0].hint.contains("openssl rand"), "{}", problems[0]);
    }
}
