//! What a discovery document may say.

use tokenward_control::issuer::discovery::read_document;

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

#[test]
fn the_way_of_authentication_is_basic_unless_only_post_is_listed() {
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
