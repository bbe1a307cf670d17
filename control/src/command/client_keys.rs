//! `tokenward client-keys`: the public keys of clients with a private key, for their registration at the issuer.

use std::path::Path;

use serde_json::{Value, json};
use tokenward_control::config::{ClientAuth, Config};
use tokenward_control::upstream::issuer::client_assertion::{BadClientKey, ClientKey};

/// Prints the JWK set (RFC 7517 §5) of the configuration in `path`.
///
/// # Errors
/// A configuration that cannot be read, or a key in it.
pub(crate) fn run(path: &Path) -> anyhow::Result<()> {
    let config = Config::load(path)?;
    println!("{:#}", key_set(&config)?);
    Ok(())
}

/// Each key once: clients may share one.
fn key_set(config: &Config) -> Result<Value, BadClientKey> {
    let mut keys: Vec<Value> = Vec::new();
    let clients = config.issuers.iter();
    for client in clients.filter(|client| client.client_auth == Some(ClientAuth::PrivateKeyJwt)) {
        let jwk = ClientKey::read(&client.client_secret)?.jwk();
        if !keys.contains(&jwk) {
            keys.push(jwk);
        }
    }
    Ok(json!({ "keys": keys }))
}
