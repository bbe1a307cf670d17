//! What `check` prints of each issuer, and the public keys of clients with a private key.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::Value;

use super::{Folder, text, tokenward};

#[test]
fn check_prints_what_each_issuer_is_taken_for_and_why() {
    let folder = Folder::new();
    let path = folder.config("").display().to_string();
    let output = tokenward(&["check", "--config", &path]);
    let printed = text(&output.stdout);
    let line = printed.lines().find(|line| line.starts_with("issuer "));
    let line = line.expect("a line for the issuer");
    assert!(line.contains("dialect dex (nothing here shows it"), "{line}");
    assert!(
        line.contains("policy tolerant, refresh_tokens per_user, sign_out revoke"),
        "{line}"
    );

    let config = std::fs::read_to_string(&path).expect("the configuration");
    let named = config.replace("https://dex.example.com", "https://sso.example.com/realms/home");
    std::fs::write(&path, named).expect("a file");
    let printed = text(&tokenward(&["check", "--config", &path]).stdout);
    assert!(
        printed.contains("dialect keycloak (by its address), policy strict, refresh_tokens per_login"),
        "{printed}"
    );
}

#[test]
fn the_public_keys_of_clients_are_printed_as_a_set_and_nothing_private() {
    let folder = Folder::new();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    folder.write("client.pem", &pair.serialize_pem());
    let path = folder.config("").display().to_string();
    let config = std::fs::read_to_string(&path).expect("the configuration");
    let with_key = config
        .replace("client_secret", "client_key")
        .replace("/client}", "/client.pem}");
    std::fs::write(&path, with_key).expect("a file");
    let output = tokenward(&["client-keys", "--config", &path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let set: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let keys = set["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1);
    assert_eq!((&keys[0]["kty"], &keys[0]["use"]), (&"EC".into(), &"sig".into()));
    assert_eq!(keys[0].get("d"), None);
    assert!(keys[0]["kid"].as_str().is_some_and(|kid| kid.len() == 43));
}
