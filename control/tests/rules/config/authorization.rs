//! `authorization`: its defaults, every field, and a problem with its place for each contradiction.

mod contradictions;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use tokenward_control::config::{AuthorizationConfig, Config, MetadataDocumentHosts, Problem};
use tokenward_control::upstream::dialect::Dialect;

use super::{Folder, GOOD, parse};

/// RFC 8032 §7.1, the first two secret keys, as PKCS#8.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
const OTHER_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIEzNCJsoncT3B1hzU3j3MdLdDdsvsh24nBjvqkT7Rqb7\n-----END PRIVATE KEY-----\n";

const MINIMAL: &str =
    "authorization:\n  issuer: https://mcp.example.com\n  signing_keys: {current: {file: DIR/signing}}\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("signing", KEY);
    folder.write("signing-next", OTHER_KEY);
    folder.write(
        "other-key",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    folder.write(
        "claude.json",
        r#"{"client_id": "https://claude.ai/x", "client_name": "Claude", "redirect_uris": ["https://claude.ai/callback"]}"#,
    );
    folder.write("jwks.json", "{\"keys\": []}\n");
    folder
}

/// [`GOOD`] with a resource at its first server, and `authorization`, which begins in line 25.
fn with(authorization: &str) -> Result<Config, Vec<Problem>> {
    with_base(GOOD, authorization)
}

fn with_base(base: &str, authorization: &str) -> Result<Config, Vec<Problem>> {
    const SERVER: &str = "- name: kubernetes\n";
    let server = format!("{SERVER}  resource: https://mcp.example.com/kubernetes\n");
    let text = base.replacen(SERVER, &server, 1);
    assert_ne!(text, base);
    parse(&folder(), &(text + authorization))
}

fn good(authorization: &str) -> AuthorizationConfig {
    let config = with(authorization).unwrap_or_else(|problems| panic!("{authorization}: {problems:?}"));
    config.authorization.expect("an authorization server")
}

/// A section with no more than it must have.
pub(crate) fn any() -> AuthorizationConfig {
    good(MINIMAL)
}

/// [`MINIMAL`] with `fields` at its end has exactly one problem, which has a place and a hint and contains `what`.
fn one_problem(fields: &str, what: &str) {
    one_problem_of(with(&format!("{MINIMAL}{fields}")), what);
}

fn one_problem_of(result: Result<Config, Vec<Problem>>, what: &str) {
    let problems = result.expect_err(what);
    let [problem] = problems.as_slice() else {
        panic!("{what}: {problems:?}");
    };
    assert!(problem.line >= 24, "{problem}");
    assert!(problem.what.contains(what), "{problem}");
    assert!(!problem.hint.is_empty(), "{problem}");
}

#[test]
fn issuer_and_a_key_suffice() {
    let config = with(MINIMAL).expect("good");
    let authorization = config.authorization.expect("an authorization server");
    assert_eq!(authorization.issuer, "https://mcp.example.com");
    assert_eq!(authorization.url.as_str(), "https://mcp.example.com/");
    let login = &authorization.login;
    assert_eq!(
        (login.issuer.as_str(), login.client_id.as_str()),
        ("https://dex.example.com", "muster")
    );
    assert_eq!(login.scopes, None);
    assert_eq!(
        login.scope(Dialect::Dex),
        "openid profile email groups offline_access"
    );
    assert_eq!(
        login.scope(Dialect::Keycloak),
        "openid profile email offline_access",
        "an issuer that has no scope groups refuses it"
    );
    assert_eq!(login.connector_id, None);
    assert_eq!(login.authorization_endpoint, None);
    assert_eq!(authorization.signing_keys.current.expose_secret(), KEY.trim_end());
    assert!(authorization.signing_keys.next.is_none());
    assert_eq!(authorization.access_token_lifetime, Duration::from_secs(3600));
    assert_eq!(
        authorization.refresh_token_lifetime,
        Duration::from_secs(720 * 3600)
    );
    assert_eq!(authorization.login_lifetime, Duration::from_secs(2160 * 3600));
    assert_eq!(authorization.replay_window, Duration::from_secs(60));
    assert_eq!(authorization.default_server, None);
    assert_eq!(authorization.trusted_proxies, 1);
    let clients = &authorization.clients;
    assert!(clients.configured.is_empty());
    assert!(
        matches!(&clients.metadata_documents.hosts, MetadataDocumentHosts::Listed(hosts) if hosts.len() >= 5 && hosts.contains(&"claude.ai".to_owned()))
    );
    assert!(clients.metadata_documents.pinned.is_empty());
    assert!(!clients.metadata_documents.allow_private_addresses);
    assert!(clients.registration.enabled);
    assert_eq!(clients.registration.lifetime, Duration::from_secs(2160 * 3600));
    assert_eq!(clients.registration.not_before_seconds, 0);
    assert_eq!(
        clients.private_use_redirects,
        ["cursor://anysphere.cursor-mcp/oauth/callback"]
    );
    assert!(authorization.remembered_consent.clients.is_empty());
    assert_eq!(
        config.resource_metadata.authorization_servers,
        ["https://mcp.example.com"]
    );
    assert_eq!(config.resource_metadata.scopes, ["mcp"]);
    assert!(with("").expect("good").authorization.is_none());
}

#[test]
fn every_field_can_be_set() {
    let authorization = good(
        "authorization:
  issuer: http://127.0.0.1:8443
  login:
    issuer: https://dex.example.com
    client_id: muster
    scopes: [openid, offline_access, groups]
    connector_id: ldap
    authorization_endpoint: https://login.example.com/auth
  signing_keys: {current: {file: DIR/signing-next}, next: {file: DIR/signing}}
  access_token_lifetime: 10m
  refresh_token_lifetime: 24h
  login_lifetime: 48h
  replay_window: 0s
  default_server: kubernetes
  clients:
    configured:
    - {client_id: portal, name: The portal, redirect_uris: [\"https://portal.example.com/callback\"], jwks: {file: DIR/jwks.json}}
    metadata_documents:
      hosts: [claude.ai, vscode.dev]
      pinned: [{client_id: \"https://claude.ai/x\", file: DIR/claude.json}]
      egress_proxy: http://proxy.egress.svc:3128
      allow_private_addresses: true
    registration: {enabled: false, lifetime: 1h, not_before: 2026-11-30T20:00:00Z}
    private_use_redirects: []
  remembered_consent: {clients: [\"https://claude.ai/oauth/mcp-oauth-client-metadata\"], lifetime: 24h}
  trusted_proxies: 0
",
    );
    assert_eq!(authorization.issuer, "http://127.0.0.1:8443");
    assert_eq!(
        authorization.login.scope(Dialect::Keycloak),
        "openid offline_access groups"
    );
    assert_eq!(authorization.login.connector_id.as_deref(), Some("ldap"));
    let endpoint = authorization.login.authorization_endpoint.as_ref();
    assert_eq!(
        endpoint.map(url::Url::as_str),
        Some("https://login.example.com/auth")
    );
    assert!(authorization.signing_keys.next.is_some());
    assert_eq!(authorization.access_token_lifetime, Duration::from_secs(600));
    assert_eq!(authorization.refresh_token_lifetime, Duration::from_secs(86_400));
    assert_eq!(authorization.login_lifetime, Duration::from_secs(172_800));
    assert_eq!(authorization.replay_window, Duration::ZERO);
    assert_eq!(authorization.default_server.as_deref(), Some("kubernetes"));
    let clients = &authorization.clients;
    assert_eq!(clients.configured[0].client_id, "portal");
    assert_eq!(clients.configured[0].jwks.as_deref(), Some("{\"keys\": []}"));
    assert_eq!(
        clients.metadata_documents.hosts,
        MetadataDocumentHosts::Listed(vec!["claude.ai".to_owned(), "vscode.dev".to_owned()])
    );
    assert!(clients.metadata_documents.egress_proxy.is_some());
    assert_eq!(
        clients.metadata_documents.pinned[0].client_id,
        "https://claude.ai/x"
    );
    assert!(clients.metadata_documents.allow_private_addresses);
    assert!(!clients.registration.enabled);
    assert_eq!(clients.registration.not_before_seconds, 1_796_068_800);
    assert!(clients.private_use_redirects.is_empty());
    assert_eq!(authorization.remembered_consent.clients.len(), 1);
    assert_eq!(authorization.trusted_proxies, 0);
}
