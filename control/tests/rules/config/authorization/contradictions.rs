//! Contradictions in `authorization`: each is one problem with a place and a hint.

use super::{GOOD, MINIMAL, one_problem, one_problem_of, with, with_base};

#[test]
fn an_issuer_is_an_origin_that_clients_can_compare() {
    for (issuer, what) in [
        ("http://mcp.example.com", "must be https"),
        ("https://mcp.example.com/", "normal form"),
        ("https://MCP.example.com", "normal form"),
        ("https://mcp.example.com:443", "normal form"),
        ("https://mcp.example.com/login", "has a path"),
        ("https://mcp.example.com?x=y", "must not contain a query"),
        ("https://u:p@mcp.example.com", "must not contain a user"),
        ("mcp.example.com", "is not an absolute URL"),
        ("https://dex.example.com", "is one of issuers[]"),
    ] {
        let text = MINIMAL.replacen("https://mcp.example.com", &format!("\"{issuer}\""), 1);
        assert_ne!(text, MINIMAL);
        one_problem_of(with(&text), what);
    }
    for issuer in [
        "http://127.0.0.1:9000",
        "http://localhost",
        "https://mcp.example.com:8443",
    ] {
        let text = MINIMAL.replacen("https://mcp.example.com", issuer, 1);
        assert!(with(&text).is_ok(), "{issuer}");
    }
}

#[test]
fn no_other_url_leads_to_our_endpoints() {
    for (base, what) in [
        (
            GOOD.replacen(
                "client_id: muster\n",
                "client_id: muster\n  token_endpoint: http://dex.dex.svc:5556/token\n  relay: {public_endpoint: \"https://mcp.example.com/token\"}\n",
                1,
            ),
            "relay.public_endpoint",
        ),
        (
            GOOD.replacen("- name: remote-1\n", "- name: remote-1\n  resource: https://mcp.example.com/token/x\n", 1),
            "the resource \"https://mcp.example.com/token/x\" is an endpoint",
        ),
        (
            GOOD.replacen("- name: remote-1\n", "- name: remote-1\n  resource: https://mcp.example.com/authorize\n", 1),
            "the resource \"https://mcp.example.com/authorize\" is an endpoint",
        ),
    ] {
        assert_ne!(base, GOOD);
        one_problem_of(with_base(&base, MINIMAL), what);
    }
    let beside = GOOD.replacen(
        "- name: remote-1\n",
        "- name: remote-1\n  resource: https://mcp.example.com/tokens\n",
        1,
    );
    assert!(with_base(&beside, MINIMAL).is_ok());
}

#[test]
fn a_login_is_at_exactly_one_configured_client() {
    one_problem(
        "  login: {issuer: \"https://other.example.com\"}\n",
        "names none of issuers[]",
    );
    one_problem("  login: {client_id: other}\n", "names none of issuers[]");
    one_problem("  login: {scopes: [openid]}\n", "lacks offline_access");
    one_problem("  login: {scopes: [offline_access]}\n", "lacks openid");
    one_problem(
        "  login: {scopes: [openid, offline_access, \"a b\"]}\n",
        "scope \"a b\" is not usable",
    );
    one_problem("  login: {connector_id: \"\"}\n", "connector_id is empty");
    one_problem(
        "  login: {authorization_endpoint: \"http://login.example.com\"}\n",
        "must be https",
    );
    one_problem("  login: {audience: x}\n", "audience");
    let two = GOOD.replacen(
        "servers:\n",
        "- issuer: https://dex.example.com\n  client_id: tokenward\n  client_secret: {file: DIR/client}\nservers:\n",
        1,
    );
    one_problem_of(with_base(&two, MINIMAL), "fits several of issuers[]");
    let named = format!("{MINIMAL}  login: {{client_id: tokenward}}\n");
    let config = with_base(&two, &named).expect("good");
    let login = config.authorization.map(|authorization| authorization.login);
    assert_eq!(login.map(|login| login.client_id).as_deref(), Some("tokenward"));
}

#[test]
fn a_signing_key_is_an_ed25519_key_and_no_other_is_current() {
    let folder_keys = [
        ("DIR/client", "signing_keys.current: not one PEM block"),
        ("DIR/nowhere", "signing_keys.current: "),
        (
            "DIR/other-key",
            "signing_keys.current: not an Ed25519 private key",
        ),
    ];
    for (file, what) in folder_keys {
        one_problem_of(with(&MINIMAL.replacen("DIR/signing", file, 1)), what);
    }
    let pair = |next: &str| {
        let keys = format!("{{current: {{file: DIR/signing}}, next: {{file: {next}}}}}");
        with(&MINIMAL.replacen("{current: {file: DIR/signing}}", &keys, 1))
    };
    one_problem_of(
        pair("DIR/signing"),
        "signing_keys.next: the current and the next signing key are the same",
    );
    one_problem_of(pair("DIR/client"), "signing_keys.next: not one PEM block");
    assert!(pair("DIR/signing-next").is_ok());
    one_problem_of(
        with(&MINIMAL.replacen("{current: {file: DIR/signing}}", "{next: {file: DIR/signing}}", 1)),
        "signing_keys has no current",
    );
}

#[test]
fn lifetimes_have_bounds_and_do_not_outlast_what_they_depend_on() {
    one_problem(
        "  access_token_lifetime: 61m\n",
        "access_token_lifetime must be shorter than 3601s",
    );
    one_problem(
        "  access_token_lifetime: 10ms\n",
        "access_token_lifetime is shorter than 1s",
    );
    one_problem("  replay_window: 301s\n", "replay_window is longer than 300s");
    one_problem(
        "  refresh_token_lifetime: 0s\n",
        "refresh_token_lifetime must not be zero",
    );
    one_problem(
        "  refresh_token_lifetime: 721h\n",
        "longer than session_lifetime, 2592000s",
    );
    one_problem(
        "  refresh_token_lifetime: 2h\n  login_lifetime: 1h\n",
        "longer than login_lifetime, 3600s",
    );
    for (session, login, refresh_hours) in [("24h", "2160h", 24), ("720h", "48h", 48), ("720h", "2160h", 720)]
    {
        let base = GOOD.replacen("margin: 30s", &format!("session_lifetime: {session}"), 1);
        let config = with_base(&base, &format!("{MINIMAL}  login_lifetime: {login}\n")).expect("good");
        let refresh = config
            .authorization
            .map(|authorization| authorization.refresh_token_lifetime);
        assert_eq!(
            refresh.map(|lifetime| lifetime.as_secs()),
            Some(refresh_hours * 3600)
        );
    }
    assert!(
        with(&format!(
            "{MINIMAL}  replay_window: 300s\n  access_token_lifetime: 1h\n"
        ))
        .is_ok()
    );
}

#[test]
fn a_server_that_takes_our_tokens_has_a_resource() {
    one_problem("  default_server: nowhere\n", "is not one of servers[].name");
    one_problem("  default_server: remote-1\n", "has no resource");
    let folder = super::folder();
    let none = super::super::parse(&folder, &format!("{GOOD}{MINIMAL}"));
    one_problem_of(none, "no server has a resource");
    // A resource of the cluster may become one.
    let watched = "kubernetes: {resources: [{namespaces: [muster]}]}\n";
    let named = "  default_server: of-a-resource\n";
    assert!(super::super::parse(&folder, &format!("{GOOD}{MINIMAL}{named}{watched}")).is_ok());
    let elsewhere = "resource_metadata: {authorization_servers: [\"https://dex.example.com\"]}\n";
    one_problem_of(
        with(&format!("{MINIMAL}{elsewhere}")),
        "does not name authorization.issuer",
    );
    let both = "resource_metadata: {authorization_servers: [\"https://dex.example.com\", \"https://mcp.example.com\"], scopes: [mcp, x]}\n";
    let config = with(&format!("{MINIMAL}{both}")).expect("good");
    assert_eq!(config.resource_metadata.authorization_servers.len(), 2);
    assert_eq!(config.resource_metadata.scopes, ["mcp", "x"]);
}

#[test]
fn a_configured_client_has_an_id_a_name_and_usable_redirect_uris() {
    let client = |id: &str, name: &str, uris: &str, more: &str| {
        format!(
            "  clients: {{configured: [{{client_id: \"{id}\", name: \"{name}\", redirect_uris: {uris}{more}}}]}}\n"
        )
    };
    let uri = "[\"https://portal.example.com/callback\"]";
    for (fields, what) in [
        (client("", "Portal", uri, ""), "client_id \"\" is not usable"),
        (
            client("https://portal.example.com/id", "Portal", uri, ""),
            "is not usable for a configured client",
        ),
        (
            client("twc1.x", "Portal", uri, ""),
            "is not usable for a configured client",
        ),
        (
            client("pörtal", "Portal", uri, ""),
            "is not usable for a configured client",
        ),
        (client("portal", " ", uri, ""), "name is empty"),
        (
            client("portal", &"x".repeat(257), uri, ""),
            "longer than 256 characters",
        ),
        (client("portal", "Portal", "[]", ""), "redirect_uris is empty"),
        (
            client("portal", "Portal", "[\"http://portal.example.com/callback\"]", ""),
            "redirect URI \"http://portal.example.com/callback\"",
        ),
        (
            client("portal", "Portal", "[\"portal://callback\"]", ""),
            "private_use_redirects",
        ),
        (
            client("portal", "Portal", "[\"https://portal.example.com/#x\"]", ""),
            "fragment",
        ),
        (
            client("portal", "Portal", uri, ", jwks: {file: DIR/client}"),
            "is not a JWK set",
        ),
        (
            client("portal", "Portal", uri, ", jwks: {file: DIR/nowhere}"),
            "jwks: ",
        ),
        (client("portal", "Portal", uri, ", secret: x"), "secret"),
    ] {
        one_problem(&fields, what);
    }
    let twice = "{client_id: portal, name: Portal, redirect_uris: [\"http://localhost/callback\"]}";
    one_problem(
        &format!("  clients: {{configured: [{twice}, {twice}]}}\n"),
        "client_id \"portal\" is named twice",
    );
}

#[test]
fn metadata_documents_and_registrations_have_a_policy() {
    for (documents, what) in [
        ("hosts: all", "hosts \"all\" is not known"),
        (
            "hosts: [\"https://claude.ai\"]",
            "host \"https://claude.ai\" is not usable",
        ),
        ("hosts: [Claude.ai]", "host \"Claude.ai\" is not usable"),
        ("hosts: [\"claude.ai/x\"]", "is not usable"),
        ("hosts: {any: true}", "known, any, pinned, or a list of hosts"),
        (
            "egress_proxy: proxy.example.com",
            "egress_proxy is not the address of a proxy",
        ),
        (
            "egress_proxy: \"http://u:p@proxy.example.com\"",
            "egress_proxy is not the address of a proxy",
        ),
        (
            "pinned: [{client_id: \"https://claude.ai/x\", file: DIR/nowhere}]",
            "the pinned document: ",
        ),
        (
            "pinned: [{client_id: \"http://claude.ai/x\", file: DIR/claude.json}]",
            "pinned client_id \"http://claude.ai/x\"",
        ),
        (
            "pinned: [{client_id: \"https://claude.ai/y\", file: DIR/claude.json}]",
            "is not valid for \"https://claude.ai/y\"",
        ),
        ("allow_private_addresses: 1", "true or false"),
    ] {
        one_problem(
            &format!("  clients: {{metadata_documents: {{{documents}}}}}\n"),
            what,
        );
    }
    for (registration, what) in [
        (
            "not_before: yesterday",
            "not_before \"yesterday\" is not a moment",
        ),
        ("lifetime: 0s", "registration.lifetime must not be zero"),
    ] {
        one_problem(
            &format!("  clients: {{registration: {{{registration}}}}}\n"),
            what,
        );
    }
    for bad in ["https://x.example.com/", "javascript:alert(1)", "callback"] {
        one_problem(
            &format!("  clients: {{private_use_redirects: [\"{bad}\"]}}\n"),
            "private_use_redirects",
        );
    }
}

#[test]
fn only_a_consent_for_an_https_client_is_remembered() {
    one_problem(
        "  remembered_consent: {clients: [portal]}\n",
        "the consent for \"portal\" cannot be remembered",
    );
    one_problem(
        "  remembered_consent: {clients: [\"https://claude.ai/oauth/claude-code-client-metadata\"]}\n",
        "cannot be remembered",
    );
    one_problem(
        "  remembered_consent: {clients: [], lifetime: 0s}\n",
        "remembered_consent.lifetime must not be zero",
    );
    one_problem("  trusted_proxies: 17\n", "trusted_proxies is more than 16");
}
