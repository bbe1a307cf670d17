//! Control's configuration: what is accepted can be used as it is; what is not is reported with its place, and no text
//! shows a secret.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_control::app::key_ring;
use tokenward_control::config::{ClientAuth, Config, ConfigError, Problem, StoreEngine, TokenSource};
use tokenward_control::upstream::issuer::client_assertion::ClientKey;
use url::{Host, Url};

/// The secrets that a text may name: `@filter` is the path of a file.
const SECRETS: [(&str, &str); 4] = [
    ("filter", "filter+made/up=%credential"),
    ("aggregator", "aggregator-made-up-credential"),
    ("sealing", "kC3b0tZ3mW5s1hQ0aYVbq7cYpYw8v2y3m0mJ0f4d2lE="),
    ("client", "client-made-up-secret"),
];

/// Parses a configuration.
pub fn control_config(data: &[u8]) {
    // The file is read as text before.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../made_up_secrets");
    let text = SECRETS.iter().fold(text.to_owned(), |text, (name, _)| {
        text.replace(&format!("@{name}"), &folder.join(name).display().to_string())
    });
    match Config::parse(&text) {
        Ok(config) => {
            usable(&config);
            shows_no_secret(&format!("{config:?}"), &text);
        }
        Err(error) => {
            shows_no_secret(&format!("{error} {error:?}"), &text);
            let ConfigError::Invalid(problems) = error else {
                panic!("a text is readable: {error}");
            };
            assert!(!problems.is_empty());
            problems
                .iter()
                .for_each(|problem| names_its_place(problem, &text));
        }
    }
}

/// What the text itself contains is not hidden.
fn shows_no_secret(shown: &str, text: &str) {
    for (name, secret) in SECRETS {
        assert!(
            !shown.contains(secret) || text.contains(secret),
            "{name}: {shown}"
        );
    }
}

fn names_its_place(problem: &Problem, text: &str) {
    assert!(!problem.what.is_empty());
    // YAML 1.2 §5.4: a carriage return alone breaks a line too.
    let breaks = text.bytes().filter(|byte| b"\r\n".contains(byte)).count();
    let lines = u64::try_from(breaks).expect("a number of lines") + 1;
    assert!(problem.line <= lines, "{problem} in {lines} lines");
    let shown = problem.to_string();
    assert!(!shown.contains('\n'), "{shown:?}");
}

fn sent(secret: &SecretString) {
    let secret = secret.expose_secret();
    assert!(!secret.is_empty() && !secret.chars().any(char::is_control));
}

/// A secret that can be sent, or a key that signs.
fn client(auth: Option<ClientAuth>, proof: &SecretString) {
    match auth {
        Some(ClientAuth::PrivateKeyJwt) => {
            ClientKey::read(proof).expect("a key that was accepted signs");
        }
        _ => sent(proof),
    }
}

fn usable(config: &Config) {
    let credentials = &config.credentials;
    sent(&credentials.filter);
    sent(&credentials.aggregator);
    assert_ne!(
        credentials.filter.expose_secret(),
        credentials.aggregator.expose_secret()
    );
    key_ring(&config.sealing).expect("keys that were accepted seal");
    for time in [
        config.store.deadline,
        config.session_lifetime,
        config.issuer_timeout,
        config.caller_deadline,
        config.transient_limit,
        config.rejected_interval,
    ] {
        assert!(time > Duration::ZERO);
    }
    if let StoreEngine::Valkey { url, .. } = &config.store.engine {
        let url = Url::parse(url).expect("a URL");
        assert!(url.password().is_none());
    }
    let mut issuers = Vec::new();
    for issuer in &config.issuers {
        called(&Url::parse(&issuer.issuer).expect("a URL"));
        issuer.token_endpoint.iter().for_each(called);
        issuer.jwks_uri.iter().for_each(called);
        client(issuer.client_auth, &issuer.client_secret);
        issuers.push((&issuer.issuer, &issuer.client_id));
    }
    assert!(!issuers.is_empty() && all_differ(issuers));
    assert!(all_differ(
        config.servers.iter().map(|server| &server.name).collect()
    ));
    for server in &config.servers {
        assert!(!server.name.is_empty());
        let found = config.server(&server.name).expect("a server by its name");
        assert_eq!(found.name, server.name);
        if let TokenSource::Exchange(exchange) = &server.token {
            called(&exchange.token_endpoint);
            exchange.jwks_uri.iter().for_each(called);
            client(exchange.client_auth, &exchange.client_secret);
            assert!(exchange.connector_id.as_ref().is_none_or(|id| !id.is_empty()));
            assert!(!exchange.expected_issuer.is_empty());
        }
    }
}

/// Encrypted, or on this machine.
fn called(url: &Url) {
    let own = match url.host().expect("a host") {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    assert!(
        url.scheme() == "https" || (url.scheme() == "http" && own),
        "{url}"
    );
    assert!(url.username().is_empty() && url.password().is_none());
}

fn all_differ<T: Ord>(mut items: Vec<T>) -> bool {
    let count = items.len();
    items.sort();
    items.dedup();
    items.len() == count
}
