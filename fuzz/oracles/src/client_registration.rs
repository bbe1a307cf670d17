//! A registration and its sealed `client_id`: what was accepted comes back, and nothing that control did not seal does.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};
use tokenward_control::authorization::client::MAX_NAME_CHARACTERS;
use tokenward_control::authorization::client::registration::{
    MAX_CLIENT_ID_BYTES, MAX_REDIRECT_URIS, PREFIX, Registration, open,
};
use tokenward_control::config::{
    ClientsConfig, MetadataDocumentHosts, MetadataDocumentsConfig, RegistrationConfig,
};
use tokenward_control::record::keyring::{KeyRing, SealingKey};

const ISSUER: &str = "https://mcp.example.com";
const NOW_MS: u64 = 1_800_000_000_000;

/// Reads a line with a `client_id`, and the body of a registration below it.
pub fn client_registration(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let line = halves.next().unwrap_or_default();
    let body = halves.next().unwrap_or_default();
    let (ring, config) = (ring(), config());
    let presented = String::from_utf8_lossy(line);
    for foreign in [presented.to_string(), format!("{PREFIX}{presented}")] {
        assert!(
            open(&foreign, &ring, ISSUER, &config, NOW_MS).is_err(),
            "{foreign} was not sealed here"
        );
    }
    let Ok(registration) = Registration::read(body, &config.private_use_redirects) else {
        return;
    };
    let document: Map<String, Value> = serde_json::from_slice(body).expect("a registration is an object");
    let stated = document
        .get("redirect_uris")
        .and_then(Value::as_array)
        .expect("a list");
    assert!((1..=MAX_REDIRECT_URIS).contains(&registration.redirect_uris.len()));
    assert!(
        registration
            .redirect_uris
            .iter()
            .all(|uri| stated.iter().any(|stated| stated == uri))
    );
    assert!(registration.name.chars().count() <= MAX_NAME_CHARACTERS);
    let Ok(issued) = registration.seal(&ring, ISSUER, NOW_MS) else {
        return;
    };
    assert!(issued.client_id.len() <= MAX_CLIENT_ID_BYTES && issued.client_id.starts_with(PREFIX));
    let client = open(&issued.client_id, &ring, ISSUER, &config, NOW_MS).expect("what was sealed opens");
    assert_eq!(client.redirect_uris, registration.redirect_uris);
    assert!(registration.name.is_empty() || client.name == registration.name);
    changed(&issued.client_id, line, &ring, &config);
}

/// One changed letter, chosen by the input, and the id opens no more.
fn changed(client_id: &str, chosen: &[u8], ring: &KeyRing, config: &ClientsConfig) {
    let at =
        PREFIX.len() + chosen.first().map_or(0, |byte| usize::from(*byte)) % (client_id.len() - PREFIX.len());
    let mut bytes = client_id.to_owned().into_bytes();
    if let Some(letter) = bytes.get_mut(at) {
        *letter = if *letter == b'A' { b'B' } else { b'A' };
    }
    let changed = String::from_utf8(bytes).expect("ASCII");
    assert!(
        open(&changed, ring, ISSUER, config, NOW_MS).is_err(),
        "a change at {at} opens"
    );
}

fn ring() -> KeyRing {
    let key = SecretString::from("q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY=");
    let key = SealingKey::from_base64("k1", &key).expect("a key");
    KeyRing::new(key, Vec::new()).expect("one key")
}

fn config() -> ClientsConfig {
    ClientsConfig {
        configured: Vec::new(),
        metadata_documents: MetadataDocumentsConfig {
            hosts: MetadataDocumentHosts::Pinned,
            pinned: Vec::new(),
            egress_proxy: None,
            allow_private_addresses: false,
        },
        registration: RegistrationConfig {
            enabled: true,
            lifetime: Duration::from_secs(90 * 24 * 3600),
            not_before_seconds: 0,
        },
        private_use_redirects: vec!["com.example.app:/callback".to_owned()],
    }
}
