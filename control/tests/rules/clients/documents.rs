//! Metadata documents: what must hold before one is believed.

use serde_json::{Value, json};
use tokenward_control::authorization::client::metadata_document::document::{BadDocument, read};
use tokenward_control::authorization::client::metadata_document::url::DocumentUrl;
use tokenward_control::authorization::client::{Client, ClientAuthentication, ClientKeys, ClientKind};
use tokenward_control::config::known_clients::KNOWN_CLIENTS;
use tokenward_control::config::redirect_uri::BadRedirectUri;

use super::CURSOR;

const ID: &str = "https://client.example/oauth/client.json";

fn believed(id: &str, body: &[u8]) -> Result<Client, BadDocument> {
    let url = DocumentUrl::read(id, false).expect("a URL");
    read(body, id, &url, &[CURSOR.to_owned()])
}

fn good() -> Value {
    json!({"client_id": ID, "client_name": "A client", "redirect_uris": ["http://127.0.0.1/cb"]})
}

/// The good document with these members replaced.
fn with(members: &Value) -> Result<Client, BadDocument> {
    let mut document = good();
    for (name, value) in members.as_object().expect("an object") {
        document[name] = value.clone();
    }
    believed(ID, document.to_string().as_bytes())
}

fn jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "1", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

#[test]
fn the_documents_of_known_clients_are_believed() {
    for known in KNOWN_CLIENTS {
        let document = json!({
            "client_id": known.client_id, "client_name": known.name, "redirect_uris": known.redirect_uris,
            "token_endpoint_auth_method": "none", "client_uri": "https://evil.example", "logo_uri": "https://evil.example/x.png",
            // As VS Code and Claude list them.
            "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
                            "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "response_types": ["code"], "application_type": "native"
        });
        let client = believed(known.client_id, document.to_string().as_bytes()).expect(known.name);
        assert_eq!(client.redirect_uris, known.redirect_uris, "{}", known.name);
        assert_eq!(client.kind, ClientKind::MetadataDocument);
        assert_eq!(client.host_shown(), known.client_id.split('/').nth(2));
    }
}

#[test]
fn chatgpts_document_is_believed_with_and_without_keys() {
    let of = |members: Value| {
        let client = with(&members).expect("believed");
        client.authentication
    };
    let both = json!(["none", "private_key_jwt"]);
    let with_keys = of(json!({
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": both,
        "jwks_uri": "https://client.example/jwks.json"
    }));
    let keys = ClientKeys::At("https://client.example/jwks.json".to_owned());
    assert_eq!(
        with_keys,
        ClientAuthentication::PrivateKeyJwt {
            keys,
            required: false
        }
    );
    let without = of(json!({
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": both
    }));
    assert_eq!(without, ClientAuthentication::None);
    let required = of(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [jwk()]}}));
    assert!(matches!(
        required,
        ClientAuthentication::PrivateKeyJwt { required: true, .. }
    ));
}

#[test]
fn a_document_of_another_client_is_not_believed() {
    for id in [
        json!("https://client.example/oauth/client.json/"),
        json!("https://client.example/oauth/Client.json"),
        json!("https://client.example:443/oauth/client.json"),
        json!("https://evil.example/oauth/client.json"),
        json!(""),
        json!(7),
        json!(null),
    ] {
        assert_eq!(
            with(&json!({"client_id": id})),
            Err(BadDocument::ClientId),
            "{id}"
        );
    }
}

#[test]
fn what_is_no_plain_json_object_is_not_believed() {
    for body in [
        "",
        "[]",
        "<!doctype html><html></html>",
        "{",
        "{} {}",
        "\u{feff}{}",
        "null",
    ] {
        assert_eq!(
            believed(ID, body.as_bytes()),
            Err(BadDocument::NotAnObject),
            "{body}"
        );
    }
    let twice = format!(
        r#"{{"client_id":"{ID}","client_name":"A","redirect_uris":["http://127.0.0.1/"],"redirect_uris":["https://client.example/"]}}"#
    );
    assert_eq!(believed(ID, twice.as_bytes()), Err(BadDocument::NotAnObject));
}

#[test]
fn a_shared_secret_in_a_public_document_is_refused() {
    for members in [
        json!({"client_secret": "s"}),
        json!({"client_secret_expires_at": 0}),
        json!({"client_secret": null}),
        json!({"token_endpoint_auth_method": "client_secret_post"}),
        json!({"token_endpoint_auth_method": "client_secret_basic"}),
        json!({"token_endpoint_auth_method": "client_secret_jwt"}),
    ] {
        assert_eq!(with(&members), Err(BadDocument::Secret), "{members}");
    }
    for method in [
        json!("tls_client_auth"),
        json!("NONE"),
        json!(""),
        json!(["none"]),
    ] {
        let members = json!({"token_endpoint_auth_method": method});
        assert_eq!(with(&members), Err(BadDocument::Method), "{members}");
    }
}

#[test]
fn keys_are_published_in_exactly_one_usable_way() {
    for keys in [
        json!({}),
        json!({"jwks": {"keys": []}}),
        json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}),
        json!({"jwks": "https://client.example/jwks.json"}),
        json!({"jwks": {"keys": [jwk()]}, "jwks_uri": "https://client.example/jwks.json"}),
        json!({"jwks_uri": "http://client.example/jwks.json"}),
        json!({"jwks_uri": "https://10.0.0.1:8443/jwks.json"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
    ] {
        let mut members = keys.clone();
        members["token_endpoint_auth_method"] = json!("private_key_jwt");
        assert_eq!(with(&members), Err(BadDocument::Keys), "{keys}");
    }
}

#[test]
fn redirects_lead_to_the_users_machine_or_to_the_documents_own_origin() {
    let of = |uris: Value| with(&json!({"redirect_uris": uris})).map(|client| client.redirect_uris);
    for uri in [
        "https://client.example/cb",
        "http://localhost:1/cb",
        "http://[::1]/",
        CURSOR,
    ] {
        assert_eq!(of(json!([uri])), Ok(vec![uri.to_owned()]), "{uri}");
    }
    for uri in [
        "https://evil.example/cb",
        "https://sub.client.example/cb",
        "https://client.example:8443/cb",
        "https://client.example.evil.example/cb",
    ] {
        assert_eq!(of(json!([uri])), Err(BadDocument::OtherOrigin), "{uri}");
        assert_eq!(
            of(json!([uri, "http://localhost/"])),
            Ok(vec!["http://localhost/".to_owned()])
        );
    }
    assert_eq!(
        of(json!(["http://client.example/cb"])),
        Err(BadDocument::NoRedirectUri(BadRedirectUri::PlainHttp))
    );
    assert_eq!(
        of(json!(["javascript:alert(1)"])),
        Err(BadDocument::NoRedirectUri(BadRedirectUri::Scheme))
    );
    for none in [json!([]), json!(null), json!("http://localhost/"), json!([1])] {
        assert_eq!(of(none.clone()), Err(BadDocument::RedirectUris), "{none}");
    }
}

#[test]
fn names_and_grants_are_needed() {
    let long = "n".repeat(257);
    for name in [
        json!(null),
        json!(""),
        json!(" \u{200b}\u{202e} "),
        json!(7),
        json!(long),
    ] {
        assert_eq!(
            with(&json!({"client_name": name})),
            Err(BadDocument::Name),
            "{name}"
        );
    }
    for members in [
        json!({"grant_types": ["client_credentials"]}),
        json!({"grant_types": "authorization_code"}),
        json!({"response_types": ["token"]}),
    ] {
        assert_eq!(with(&members), Err(BadDocument::Grants), "{members}");
    }
}
