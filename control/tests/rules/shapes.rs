//! Faults of the shape: all of them at once, each at its place, with what was probably meant, and in words of our own.

use super::config::{Folder, GOOD, parse};

/// What is said of `yaml`, line by line.
fn said(yaml: &str) -> Vec<(u64, String)> {
    let folder = Folder::new();
    match parse(&folder, yaml) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| (problem.line, format!("{}; {}", problem.what, problem.hint)))
            .collect(),
    }
}

/// Each of `parts` in its line, and nothing else.
fn assert_said(yaml: &str, parts: &[(u64, &str)]) {
    let said = said(yaml);
    assert_eq!(said.len(), parts.len(), "{said:#?}");
    for ((line, said), (expected_line, part)) in said.iter().zip(parts) {
        assert_eq!(line, expected_line, "{said}");
        assert!(said.contains(part), "{said:?} lacks {part:?}");
        for leak in [
            "serde",
            "Options",
            "Policy",
            "struct ",
            "u32",
            "from_multiple",
            "invalid type",
        ] {
            assert!(!said.contains(leak), "{said}");
        }
    }
}

#[test]
fn faults_of_shape_and_of_content_are_all_told_at_once_in_the_order_of_the_file() {
    let yaml = GOOD
        .replace("margin: 30s", "margn: 30s\nlease: 10m\ncaller_deadline: [4s]")
        .replace(
            "client_id: muster\n",
            "client_id: muster\n  clientSecret: x\n  polcy: strict\n",
        )
        .replace("requiredAudiences: [kube]", "requiredAudience: [kube]")
        .replace("enabled: true", "enabled: \"true\"")
        .replace("connectorId: home", "connectorId: home\n      connectorId: other");
    assert_said(
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
                "tokenExchange.connectorId stands there twice; keep one of them: the first is in line 25",
            ),
        ],
    );
}

#[test]
fn everything_that_is_missing_is_named_and_a_mistyped_name_is_not_missing_as_well() {
    assert_said(
        "store: {embedded: {path: x}}\n",
        &[
            (1, "credentials is missing"),
            (1, "sealing is missing"),
            (1, "issuers is missing"),
            (1, "servers is missing"),
        ],
    );
    let yaml = GOOD
        .replace("  client_id: muster\n  client_secret: {file: DIR/client}\n", "")
        .replace("credentials: {filter:", "credentials: {filtr:");
    assert_said(
        &yaml,
        &[
            (2, "filtr is not known in credentials; did you mean filter?"),
            (7, "issuers[0] has no client_id"),
            (7, "issuers[0] has no client_secret"),
        ],
    );
    let yaml = GOOD.replace("{embedded: {path: DIR/db}}", "{valkey: {uri: \"redis://a\"}}");
    assert_said(
        &yaml,
        &[(3, "uri is not known in store.valkey; did you mean url?")],
    );
}

#[test]
fn a_wrong_type_is_named_with_the_right_one() {
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
        assert_said(&yaml, &[(line, part)]);
    }
}

/// As they are written: a client may be called 0123.
#[test]
fn a_text_may_look_like_a_number() {
    let folder = Folder::new();
    let yaml = GOOD.replace("client_id: muster", "client_id: 0123");
    let config = parse(&folder, &yaml).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.issuers[0].client_id, "0123");
}

#[test]
fn what_is_no_yaml_or_no_configuration_is_said_in_words_of_our_own() {
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
        let said = said(yaml);
        let [(at, words)] = said.as_slice() else {
            panic!("{yaml:?}: {said:#?}");
        };
        assert!(words.contains(part), "{yaml:?}: {words}");
        assert!(at.abs_diff(line) <= 1, "{yaml:?}: line {at}");
        for leak in ["serde", "Options", "Policy", "from_multiple", "alias replay"] {
            assert!(!words.contains(leak), "{words}");
        }
    }
}

#[test]
fn a_key_that_is_not_known_stays_on_its_line_however_it_is_written() {
    let yaml = GOOD.replace("margin: 30s", "\"mar\\ngin\\e[31m\": 30s");
    let said = said(&yaml);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(!said[0].1.chars().any(char::is_control), "{said:?}");
}

#[test]
fn a_document_of_nothing_but_faults_is_answered_soon() {
    let servers = "- {name: 7, auth: []}\n".repeat(2_000);
    let head = GOOD.split("servers:").next().expect("its beginning");
    let faults = said(&format!("{head}servers:\n{servers}")).len();
    assert!((100..=2_000).contains(&faults), "{faults}");
}

#[test]
fn a_secret_pasted_in_any_shape_and_place_is_never_repeated() {
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
        let said = said(&yaml);
        assert!(!said.is_empty(), "{to}");
        assert!(
            said.iter().all(|(_, words)| !words.contains("hunter2")),
            "{said:#?}"
        );
    }
}

#[test]
fn spans_of_time_are_within_what_the_readme_says() {
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
        assert_said(&GOOD.replace("margin: 30s", setting), &[(5, part)]);
    }
    let yaml = GOOD.replace(
        "{embedded: {path: DIR/db}}",
        "{embedded: {path: DIR/db}, deadline: 2m}",
    );
    assert_said(&yaml, &[(3, "store.deadline must be shorter than 60s")]);
}

#[test]
fn a_credential_that_can_be_guessed_or_not_be_shown_is_refused() {
    for (content, part) in [
        (
            "fifteen-bytes-a",
            "credentials.filter has 15 bytes, and needs at least 16",
        ),
        ("a credential with blanks", "credentials.filter holds a blank"),
        ("ein-Schlüssel-mit-Umlaut", "credentials.filter holds a blank"),
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
