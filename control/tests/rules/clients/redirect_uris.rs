//! Redirect URIs: exact, but for the port of a loopback host, and never what a browser reads differently.

use tokenward_control::config::redirect_uri::{BadRedirectUri, RedirectTarget, RedirectUri};

use super::{CURSOR, client};

fn read(uri: &str) -> Result<RedirectUri, BadRedirectUri> {
    RedirectUri::read(uri, &[CURSOR.to_owned()])
}

fn assert_refused(why: BadRedirectUri, uris: &[&str]) {
    for uri in uris {
        assert_eq!(read(uri).expect_err(uri), why, "{uri}");
    }
}

#[test]
fn the_redirect_uris_of_real_clients_are_accepted() {
    for (uri, target, shown, origin) in [
        (
            "https://claude.ai/api/mcp/auth_callback",
            RedirectTarget::Https,
            "claude.ai",
            "https://claude.ai",
        ),
        (
            "https://vscode.dev/redirect",
            RedirectTarget::Https,
            "vscode.dev",
            "https://vscode.dev",
        ),
        (
            "https://host.example:8443/cb?a=b%2Fc",
            RedirectTarget::Https,
            "host.example",
            "https://host.example:8443",
        ),
        (
            "http://localhost/callback",
            RedirectTarget::Loopback,
            "localhost",
            "http://localhost",
        ),
        (
            "http://127.0.0.1:33418/",
            RedirectTarget::Loopback,
            "127.0.0.1",
            "http://127.0.0.1:33418",
        ),
        (
            "http://127.8.9.10",
            RedirectTarget::Loopback,
            "127.8.9.10",
            "http://127.8.9.10",
        ),
        (
            "http://[::1]:6274/oauth/callback",
            RedirectTarget::Loopback,
            "[::1]",
            "http://[::1]:6274",
        ),
        (
            CURSOR,
            RedirectTarget::PrivateUse,
            "cursor://anysphere.cursor-mcp",
            "cursor:",
        ),
    ] {
        let read = read(uri).expect(uri);
        assert_eq!(read.target(), target, "{uri}");
        assert_eq!(
            (read.as_str(), read.host_shown(), read.origin()),
            (uri, shown, origin)
        );
        assert_eq!(read.is_loopback(), target == RedirectTarget::Loopback);
    }
}

#[test]
fn other_spellings_of_a_loopback_host_are_refused() {
    assert_refused(
        BadRedirectUri::PlainHttp,
        &[
            "http://127.0.0.1.evil/cb",
            "http://localhost.evil/cb",
            "http://evil.example/cb",
            "http://128.0.0.1/cb",
            "http://10.0.0.1/cb",
            "http://0.0.0.0/cb",
            "http://[::2]/cb",
            "http://[::ffff:127.0.0.1]/cb",
            "http://[fe80::1]/cb",
        ],
    );
    assert_refused(
        BadRedirectUri::Host,
        &[
            "http://127.1/cb",
            "http://2130706433/cb",
            "http://0x7f000001/cb",
            "http://0x7f.1/cb",
            "http://0177.0.0.1/cb",
            "http://127.0.0.01/cb",
            "http://LOCALHOST/cb",
            "http://localhost./cb",
            "http://127.0.0.1./cb",
            "http://%6cocalhost/cb",
            "http://127.0.0.1%2eevil/cb",
            "http://[0:0:0:0:0:0:0:1]/cb",
            "http://[::ffff:7f00:1]/cb",
            "http://[::1%25lo]/cb",
            "http://[::1/cb",
            "http://::1/cb",
            "http:///cb",
            "http:/localhost/cb",
            "http:localhost/cb",
            "https://-/cb",
            "https://a..b/cb",
            "https://1.2.3/cb",
        ],
    );
}

#[test]
fn ports_are_written_plainly() {
    assert_refused(
        BadRedirectUri::Host,
        &[
            "http://localhost:80:80/cb",
            "http://localhost:/cb",
            "http://localhost:0/cb",
            "http://localhost:080/cb",
            "http://localhost:+80/cb",
            "http://localhost:65536/cb",
            "http://localhost:8a/cb",
            "http://[::1]x:80/cb",
        ],
    );
}

#[test]
fn user_names_fragments_and_other_letters_are_refused() {
    assert_refused(
        BadRedirectUri::UserInfo,
        &[
            "http://localhost@evil/cb",
            "http://localhost:80@evil/cb",
            "https://claude.ai@evil.example/cb",
            "https://@evil.example/cb",
        ],
    );
    assert_refused(
        BadRedirectUri::Fragment,
        &[
            "https://a.example/cb#x",
            "http://localhost#@evil/cb",
            "https://a.example/cb#",
        ],
    );
    assert_refused(
        BadRedirectUri::Characters,
        &[
            "",
            "callback",
            "/callback",
            "//evil.example/cb",
            "http://localhost\\@evil/cb",
            "http:\\\\evil\\cb",
            "http://local\thost/cb",
            " http://localhost/cb",
            "http://localhost/cb\r\nx: y",
            "http://localhost/<script>",
            "https://аpple.example/cb",
            "https://\u{ff43}laude.ai/cb",
            "https://claude.ai\u{3002}evil/cb",
            "http://ⓛocalhost/cb",
        ],
    );
    assert_refused(
        BadRedirectUri::TooLong,
        &[&format!("https://a.example/{}", "a".repeat(2048))],
    );
}

#[test]
fn schemes_that_run_code_are_refused_even_if_they_are_configured() {
    for uri in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "HTTP://localhost/cb",
        "hTTps://a.example/cb",
        "view-source:https://a.example",
    ] {
        let listed = vec![uri.to_owned()];
        assert_eq!(
            RedirectUri::read(uri, &listed).expect_err(uri),
            BadRedirectUri::Scheme,
            "{uri}"
        );
    }
    assert_refused(
        BadRedirectUri::PrivateUse,
        &[
            "cursor://anysphere.cursor-mcp/oauth/callback/",
            "cursor://anysphere.cursor-mcp/oauth/callback?x",
            "Cursor://anysphere.cursor-mcp/oauth/callback",
            "com.example.app:/cb",
        ],
    );
}

#[test]
fn a_loopback_redirect_may_name_any_port() {
    let portless = client(&["http://localhost/callback", "http://127.0.0.1/callback"], true);
    for requested in [
        "http://localhost/callback",
        "http://localhost:54321/callback",
        "http://127.0.0.1:1/callback",
    ] {
        let found = portless.redirect_uri(requested).expect(requested);
        assert_eq!(found.as_str(), requested);
    }
    // VS Code falls back to a port of the moment from the one that it registered.
    let with_port = client(&["http://127.0.0.1:33418/"], true);
    assert!(with_port.redirect_uri("http://127.0.0.1:40000/").is_some());
    assert!(with_port.redirect_uri("http://127.0.0.1/").is_some());
}

#[test]
fn host_path_and_query_of_a_loopback_redirect_are_exact() {
    let client = client(
        &[
            "http://localhost/callback",
            "http://[::1]:1/cb?a=1",
            "http://127.0.0.1",
        ],
        true,
    );
    for requested in [
        "http://127.0.0.1:54321/callback",
        "http://127.0.0.2:54321",
        "http://[::1]:54321/callback",
        "http://localhost:54321/callback/",
        "http://localhost:54321/Callback",
        "http://localhost:54321/callback?x",
        "http://localhost:54321/%63allback",
        "http://localhost:54321/a/../callback",
        "http://localhost:54321",
        "http://127.0.0.1:54321/",
        "http://[::1]:2/cb?a=2",
        "http://[::1]:2/cb",
        "https://localhost:54321/callback",
        "http://localhost:54321@evil/callback",
        "http://localhost:54321.evil/callback",
    ] {
        assert_eq!(client.redirect_uri(requested), None, "{requested}");
    }
    assert!(client.redirect_uri("http://[::1]:2/cb?a=1").is_some());
    assert!(client.redirect_uri("http://127.0.0.1:54321").is_some());
}

#[test]
fn an_https_redirect_is_exact_with_its_port() {
    let client = client(&["https://claude.ai/api/mcp/auth_callback", CURSOR], true);
    assert!(
        client
            .redirect_uri("https://claude.ai/api/mcp/auth_callback")
            .is_some()
    );
    assert!(client.redirect_uri(CURSOR).is_some());
    for requested in [
        "https://claude.ai:443/api/mcp/auth_callback",
        "https://claude.ai:8443/api/mcp/auth_callback",
        "https://claude.ai/api/mcp/auth_callback/",
        "https://claude.ai/api/mcp/auth_callback?x=y",
        "https://evil.claude.ai/api/mcp/auth_callback",
        "http://claude.ai/api/mcp/auth_callback",
        "cursor://anysphere.cursor-mcp/oauth",
        "",
    ] {
        assert_eq!(client.redirect_uri(requested), None, "{requested}");
    }
}

#[test]
fn a_client_that_must_prove_itself_has_no_free_port() {
    let client = client(&["http://127.0.0.1:7000/cb"], false);
    assert!(client.redirect_uri("http://127.0.0.1:7000/cb").is_some());
    assert_eq!(client.redirect_uri("http://127.0.0.1:7001/cb"), None);
}

#[test]
fn a_remembered_consent_is_bound_to_the_redirect_uris_and_the_method() {
    let first = client(&["https://a.example/1", "https://a.example/2"], true);
    let reordered = client(&["https://a.example/2", "https://a.example/1"], true);
    let fewer = client(&["https://a.example/1"], true);
    let proving = client(&["https://a.example/1", "https://a.example/2"], false);
    assert_eq!(first.consent_digest(), reordered.consent_digest());
    assert_ne!(first.consent_digest(), fewer.consent_digest());
    assert_ne!(first.consent_digest(), proving.consent_digest());
    assert_eq!(first.host_shown(), Some("client.example"));
}
