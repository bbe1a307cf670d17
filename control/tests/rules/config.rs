//! The configuration: every problem has a line, a column and a hint, and secrets are never quoted.

pub(crate) mod authorization;
pub(crate) mod exchanges;
mod forward;
mod issuers;
mod kubernetes;
mod limits;
mod relays;
mod server_routing;
mod shape;
mod stores;
mod tls;

use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokenward_control::config::{Config, ConfigError, Problem, TokenSource};

/// A folder with the secrets that the YAML names.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(TempDir::with_prefix("tokenward-config-").expect("a folder"));
        folder.write("filter", "the-filter-credential\n");
        folder.write("aggregator", "the-aggregator-credential\n");
        folder.write("client", "c");
        folder.write("key", "q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY=\n");
        folder
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).expect("a file");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

pub(crate) const GOOD: &str = r#"
credentials: {filter: {file: DIR/filter}, aggregator: {file: DIR/aggregator}}
store: {embedded: {path: DIR/db}}
sealing: {current: {id: k1, key: {file: DIR/key}}}
margin: 30s
issuers:
- issuer: https://dex.example.com
  client_id: muster
  client_secret: {file: DIR/client}
servers:
- name: kubernetes
  auth: {type: oauth, forwardToken: true, requiredAudiences: [kube]}
- name: remote-1
  auth:
    type: oauth
    forwardToken: true
    requiredAudiences: [api]
    tokenExchange:
      enabled: true
      dexTokenEndpoint: https://dex.remote.example.com/dex/token
      connectorId: home
      clientCredentials: {clientId: muster, clientSecret: {file: DIR/client}}
"#;

pub(crate) fn parse(folder: &Folder, yaml: &str) -> Result<Config, Vec<Problem>> {
    match Config::parse(&yaml.replace("DIR", &folder.path().display().to_string())) {
        Ok(config) => Ok(config),
        Err(ConfigError::Invalid(problems)) => Err(problems),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_good_configuration_is_complete() {
    let folder = Folder::new();
    let config = parse(&folder, GOOD).expect("good");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.credentials.filter.expose_secret(), "the-filter-credential");
    assert_eq!(config.margin, Duration::from_secs(30));
    assert_eq!(config.stale_subject_grace, Duration::from_secs(168 * 3600));
    assert_eq!(config.session_lifetime, Duration::from_secs(720 * 3600));
    assert_eq!(config.issuer_timeout, Duration::from_secs(35));
    assert_eq!(config.caller_deadline, Duration::from_secs(4));
    assert_eq!(config.transient_limit, Duration::from_secs(1800));
    assert_eq!(config.store.deadline, Duration::from_secs(2));
    assert!(matches!(
        config.server("kubernetes").map(|server| &server.token),
        Some(TokenSource::Forward)
    ));
    // As in the CRD: an enabled exchange takes precedence over forwardToken.
    let Some(TokenSource::Exchange(exchange)) = config.server("remote-1").map(|server| &server.token) else {
        panic!("remote-1 exchanges");
    };
    assert_eq!(exchange.expected_issuer, "https://dex.remote.example.com/dex");
    assert_eq!(
        exchange.jwks_uri.as_ref().map(url::Url::as_str),
        Some("https://dex.remote.example.com/dex/keys")
    );
    assert_eq!(
        exchange.scopes,
        "openid profile email groups audience:server:client_id:api"
    );
    assert!(!format!("{config:?}").contains("q83v"));
}

#[test]
fn the_clients_of_an_issuer_trust_each_other_and_the_peers_that_are_listed() {
    let folder = Folder::new();
    let more = "  trusted_peers: [cli, portal]
- issuer: https://dex.example.com
  client_id: kube
  client_secret: {file: DIR/client}
- issuer: https://other.example.com
  client_id: elsewhere
  client_secret: {file: DIR/client}
servers:";
    let config = parse(&folder, &GOOD.replacen("servers:", more, 1)).expect("good");
    let trusts = |issuer: usize| {
        let clients = ["muster", "kube", "elsewhere", "cli", "portal", "lowpriv", ""];
        clients.map(|client| config.issuers[issuer].trusts(client))
    };
    assert_eq!(trusts(0), [true, true, false, true, true, false, false]);
    assert_eq!(trusts(1), [true, true, false, false, false, false, false]);
    assert_eq!(trusts(2), [false, false, true, false, false, false, false]);
    one_problem(
        ("client_id: muster", "client_id: muster\n  trusted_peers: [\"\"]"),
        9,
        "trusted_peers is empty",
    );
}

/// Replaces the text of one line and expects one problem there.
fn one_problem(change: (&str, &str), line: u64, what: &str) {
    let folder = Folder::new();
    let yaml = GOOD.replacen(change.0, change.1, 1);
    assert_ne!(yaml, GOOD, "{change:?} changes nothing");
    let problems = parse(&folder, &yaml).expect_err(change.1);
    let [problem] = problems.as_slice() else {
        panic!("{change:?}: {problems:?}");
    };
    assert_eq!(problem.line, line, "{change:?}: {problem}");
    assert!(problem.column > 0, "{change:?}: {problem}");
    assert!(problem.to_string().contains(what), "{change:?}: {problem}");
}

#[test]
fn every_problem_has_its_line_and_its_message() {
    let rows = [
        (("margin: 30s", "margin: 30"), 5, "bad duration"),
        (
            ("margin: 30s", "intake: {deadline: 0s}"),
            5,
            "intake.deadline must not be zero",
        ),
        (
            ("margin: 30s", "intake: {connections: 0}"),
            5,
            "intake.connections must not be zero",
        ),
        (
            ("margin: 30s", "intake: {bytes: 65536}"),
            5,
            "intake.bytes must be at least 2097152 (2 MiB)",
        ),
        (
            ("margin: 30s", "filter_module: {path: DIR/none.wasm}"),
            5,
            "cannot be read",
        ),
        (
            ("margin: 30s", "filter_module: {path: DIR/key}"),
            5,
            "is not a WebAssembly module",
        ),
        (
            (
                "margin: 30s",
                "resource_metadata: {authorization_servers: [\"http://x.example.com\"]}",
            ),
            5,
            "must be https",
        ),
        (
            ("margin: 30s", "resource_metadata: {scopes: [\"a b\"]}"),
            5,
            "is not usable",
        ),
        (("margin: 30s", "margn: 30s"), 5, "margn"),
        (("margin: 30s", "issuer_timeout: 0s"), 5, "must not be zero"),
        (("margin: 30s", "listen: nowhere"), 5, "port 0"),
        (
            (
                "issuer: https://dex.example.com",
                "issuer: http://dex.example.com",
            ),
            7,
            "loopback",
        ),
        (
            (
                "issuer: https://dex.example.com",
                "issuer: https://u:p@dex.example.com",
            ),
            7,
            "password",
        ),
        (("client_id: muster", "client_id: \"\""), 8, "client_id is empty"),
        (
            ("client_id: muster", "client_id: muster\n  policy: lax"),
            9,
            "tolerant",
        ),
        (
            ("client_id: muster", "client_id: muster\n  client_auth: digest"),
            9,
            "basic",
        ),
        (("name: kubernetes", "title: kubernetes"), 11, "title"),
        (("- name: kubernetes\n  auth", "- auth"), 11, "no name"),
        (("name: remote-1", "name: kubernetes"), 13, "twice"),
        (
            (
                "type: oauth, forwardToken: true",
                "type: none, forwardToken: true",
            ),
            12,
            "oauth",
        ),
        (("oauth, forwardToken: true, requ", "oauth, requ"), 12, "neither"),
        (("[kube]", "[\"kube openid\"]"), 12, "required audience"),
        (
            ("enabled: true", "enabled: true\n      audience: x"),
            20,
            "audience",
        ),
        (
            ("connectorId: home", "connectorId: 9home"),
            21,
            "start with a letter",
        ),
        (("      connectorId: home\n", ""), 19, "connectorId"),
        (
            (
                "https://dex.remote.example.com/dex/token",
                "http://dex.remote.example.com/dex/token",
            ),
            20,
            "https",
        ),
        (
            (
                "https://dex.remote.example.com/dex/token",
                "https://dex.remote.example.com/sts",
            ),
            20,
            "jwksUri",
        ),
        (
            ("connectorId: home", "connectorId: home\n      scopes: profile"),
            22,
            "openid",
        ),
        (("{embedded: {path: DIR/db}}", "{}"), 3, "exactly one engine"),
        (
            (
                "{embedded: {path: DIR/db}}",
                "{valkey: {url: \"redis://:pw@127.0.0.1\"}}",
            ),
            3,
            "holds a user or a password",
        ),
        (("{file: DIR/key}", "{file: DIR/client}"), 4, "is not base64"),
        (("{file: DIR/key}", "{file: DIR/absent}"), 4, "cannot be read"),
        (
            ("{file: DIR/key}", "{env: TOKENWARD_TEST_ABSENT}"),
            4,
            "TOKENWARD_TEST_ABSENT",
        ),
        (("{file: DIR/key}", "{}"), 4, "exactly one source"),
        (
            (
                "aggregator: {file: DIR/aggregator}",
                "aggregator: {file: DIR/filter}",
            ),
            2,
            "same secret",
        ),
    ];
    for (change, line, what) in rows {
        one_problem(change, line, what);
    }
}

#[test]
fn a_secret_in_the_yaml_is_rejected_without_quoting_it() {
    for secret in [
        "hunter2-very-secret",
        "123456789",
        "\"hunter2-very-secret\"",
        "true",
    ] {
        for place in ["{file: DIR/client}", "{file: DIR/filter}"] {
            let folder = Folder::new();
            let problems = parse(&folder, &GOOD.replacen(place, secret, 1)).expect_err("refused");
            let text = problems.iter().map(ToString::to_string).collect::<String>();
            assert!(text.contains("{env: NAME_OF_VARIABLE}"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("123456789"), "{text}");
            assert!(problems[0].line > 0, "{text}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let folder = Folder::new();
    let yaml = GOOD
        .replace("margin: 30s", "margin: x")
        .replace("connectorId: home", "connectorId: \"a b\"")
        .replace("[kube]", "[\"\"]");
    let problems = parse(&folder, &yaml).expect_err("three problems");
    let lines: Vec<u64> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [5, 12, 21]);
}

#[test]
fn plain_http_is_accepted_for_loopback_addresses_only() {
    let folder = Folder::new();
    for host in ["127.0.0.1:5556", "[::1]:5556", "localhost:5556"] {
        let yaml = GOOD.replace("https://dex.example.com", &format!("http://{host}/dex"));
        assert!(parse(&folder, &yaml).is_ok(), "{host}");
    }
}

#[test]
fn secrets_of_more_than_one_line_are_rejected() {
    let folder = Folder::new();
    folder.write("client", "one\ntwo\n");
    let problems = parse(&folder, GOOD).expect_err("two lines");
    assert!(
        problems
            .iter()
            .all(|problem| problem.what.contains("more than one line")),
        "{problems:?}"
    );
    folder.write("client", "\n");
    assert!(parse(&folder, GOOD).is_err());
}

#[cfg(unix)]
#[test]
fn an_endless_file_is_not_a_secret_and_does_not_fill_the_memory() {
    let folder = Folder::new();
    let problems = parse(&folder, &GOOD.replace("DIR/filter", "/dev/zero")).expect_err("too long");
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].what.contains("is longer than 65536 bytes"),
        "{}",
        problems[0]
    );
}

/// Secrets of an exchange have the client's id beside its secret.
#[test]
fn the_client_of_an_exchange_may_come_from_a_file() {
    let folder = Folder::new();
    folder.write("client-id", "kube\n");
    let written = "clientId: muster";
    let from = |file: &str| GOOD.replacen(written, &format!("clientId: {{file: DIR/{file}}}"), 1);
    let config = parse(&folder, &from("client-id")).expect("good");
    let Some(TokenSource::Exchange(exchange)) = config.server("remote-1").map(|server| &server.token) else {
        panic!("remote-1 exchanges");
    };
    assert_eq!(exchange.client_id, "kube");
    let problems = parse(&folder, &from("nowhere")).expect_err("no such file");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains("clientId: "), "{problems:?}");
    assert_eq!(problems[0].line, 22, "{problems:?}");
    one_problem(
        (written, "clientId: [muster]"),
        22,
        "a text, {file: /path/to/it} or {env: NAME_OF_VARIABLE}",
    );
}
