//! Which discovery documents are accepted.

use tokenward_control::upstream::issuer::discovery::read_document;

fn document(issuer: &str, token_endpoint: &str, jwks_uri: &str) -> Vec<u8> {
    serde_json::json!({"issuer": issuer, "token_endpoint": token_endpoint, "jwks_uri": jwks_uri})
        .to_string()
        .into_bytes()
}

#[test]
fn a_good_document_gives_the_endpoints() {
    let body = document(
        "https://a.example",
        "https://a.example/token",
        "https://keys.example/keys",
    );
    let endpoints = read_document("https://a.example", &body).expect("good");
    assert_eq!(endpoints.token_endpoint.as_str(), "https://a.example/token");
    assert_eq!(endpoints.jwks_uri.as_str(), "https://keys.example/keys");
}

/// RFC 6749 §3.2: the query is part of the endpoint.
#[test]
fn endpoints_keep_their_query_and_an_issuer_has_none() {
    let with_query = serde_json::json!({
        "issuer": "https://A.example:443/t/",
        "token_endpoint": "https://a.example/token?p=b2c_1_signin&x=%2F",
        "jwks_uri": "https://[2001:db8::1]:8443/keys?appid=6731de76",
        "introspection_endpoint": "https://a.example/introspect?p=1",
    });
    let body = with_query.to_string();
    let endpoints = read_document("https://A.example:443/t/", body.as_bytes()).expect("good");
    assert_eq!(
        (
            endpoints.token_endpoint.as_str(),
            endpoints.jwks_uri.as_str(),
            endpoints.introspection_endpoint.as_ref().map(url::Url::as_str)
        ),
        (
            "https://a.example/token?p=b2c_1_signin&x=%2F",
            "https://[2001:db8::1]:8443/keys?appid=6731de76",
            Some("https://a.example/introspect?p=1")
        )
    );
}

#[test]
fn a_document_of_another_issuer_is_refused_with_the_name_of_that_issuer() {
    let body = document(
        "https://b.example/\n",
        "https://a.example/t",
        "https://a.example/k",
    );
    let why = read_document("https://a.example", &body).expect_err("another's");
    assert!(
        why.to_string()
            .contains("names another issuer, https://b.example/?;"),
        "{why}"
    );
}

#[test]
fn client_authentication_is_basic_unless_only_post_is_listed() {
    use tokenward_control::config::ClientAuth::{self, Basic, Post};
    let rows: [(serde_json::Value, ClientAuth); 9] = [
        (serde_json::json!(null), Basic),
        (serde_json::json!([]), Basic),
        (serde_json::json!(["client_secret_basic"]), Basic),
        (
            serde_json::json!(["client_secret_post", "client_secret_basic"]),
            Basic,
        ),
        (serde_json::json!(["client_secret_post"]), Post),
        (serde_json::json!(["private_key_jwt", "client_secret_post"]), Post),
        (serde_json::json!(["private_key_jwt"]), Basic),
        (serde_json::json!("client_secret_post"), Post),
        (serde_json::json!({"client_secret_post": true}), Basic),
    ];
    for (methods, auth) in rows {
        let document = serde_json::json!({
            "issuer": "https://a.example", "token_endpoint": "https://a.example/token",
            "jwks_uri": "https://a.example/keys", "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint": "https://a.example/revoke",
        });
        let endpoints = read_document("https://a.example", document.to_string().as_bytes()).expect("good");
        assert_eq!(endpoints.client_auth, auth, "{methods}");
        assert!(endpoints.revocation_endpoint.is_some());
    }
}

#[test]
fn documents_that_point_elsewhere_are_refused() {
    let good = "https://a.example";
    let rows = [
        (
            "another issuer",
            document("https://b.example", "https://a.example/t", "https://a.example/k"),
        ),
        (
            "a slash more",
            document("https://a.example/", "https://a.example/t", "https://a.example/k"),
        ),
        (
            "plain http",
            document(good, "http://a.example/t", "https://a.example/k"),
        ),
        (
            "the loopback",
            document(good, "https://127.0.0.1/t", "https://a.example/k"),
        ),
        (
            "the loopback by name",
            document(good, "https://a.example/t", "https://localhost/k"),
        ),
        (
            "another scheme",
            document(good, "file:///etc/passwd", "https://a.example/k"),
        ),
        (
            "a user",
            document(good, "https://u:p@a.example/t", "https://a.example/k"),
        ),
        (
            "the loopback with the root's dot",
            document(good, "https://a.example/t", "https://localhost./k"),
        ),
        (
            "a name under localhost",
            document(good, "https://a.localhost/t", "https://a.example/k"),
        ),
        (
            "the loopback as IPv6",
            document(good, "https://a.example/t", "https://[::ffff:127.0.0.1]/k"),
        ),
        (
            "an address that is none",
            document(good, "https://0.0.0.0/t", "https://a.example/k"),
        ),
        (
            "a fragment",
            document(good, "https://a.example/t#x", "https://a.example/k"),
        ),
        ("no JSON", b"<html>".to_vec()),
    ];
    for (what, body) in rows {
        assert!(read_document(good, &body).is_err(), "{what}");
    }
    let at_home = document(
        "http://127.0.0.1:1/dex",
        "http://127.0.0.1:1/dex/t",
        "http://127.0.0.1:1/dex/k",
    );
    assert!(read_document("http://127.0.0.1:1/dex", &at_home).is_ok());
}
