//! A client that proves itself with an assertion: by keys that it publishes, and with each assertion once.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokenward_control::authorization::client::assertion::ASSERTION_TYPE;
use tokenward_control::authorization::client::{
    AuthenticationMethod, ClientOfLogin, Clients, PresentedClient,
};
use tokenward_control::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused};

use super::server::DocumentServer;
use super::stage::{NOW_MS, Stage, source};
use crate::authorization::stage::ISSUER;
use crate::deployment::at_once;

struct Signer {
    pair: Ed25519KeyPair,
    kid: &'static str,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("random bytes");
        Self { pair, kid }
    }

    fn jwks(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}]})
    }

    fn presented(&self, client: &str, jti: &str, at_ms: u64) -> PresentedClient {
        let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims =
            json!({"iss": client, "sub": client, "aud": ISSUER, "exp": at_ms / 1000 + 60, "jti": jti});
        let input = format!(
            "{}.{}",
            encoded(json!({"alg": "EdDSA", "kid": self.kid})),
            encoded(claims)
        );
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(input.as_bytes()).as_ref());
        PresentedClient {
            client_id: None,
            secret: false,
            assertion_type: Some(ASSERTION_TYPE.to_owned()),
            assertion: Some(format!("{input}.{signature}").into()),
        }
    }
}

fn login(client: &str) -> ClientOfLogin {
    ClientOfLogin {
        id: client.to_owned(),
        authentication: AuthenticationMethod::PrivateKeyJwt,
    }
}

async fn check(
    clients: &Clients,
    client: &str,
    presented: &PresentedClient,
) -> Result<(), AuthorizationRefusal> {
    let checked = clients.authenticate(&login(client), presented, source(1)).await;
    checked.map_err(|error| AuthorizationRefused::from(error).refusal)
}

/// A server with a document of a client that must prove itself by `jwks_uri`, where `keys` serves its keys.
async fn proving(keys: &DocumentServer) -> anyhow::Result<DocumentServer> {
    let server = DocumentServer::start().await?;
    let mut document = server.document();
    document["token_endpoint_auth_method"] = json!("private_key_jwt");
    document["jwks_uri"] = json!(keys.url("/jwks.json"));
    server.serve(&document);
    Ok(server)
}

#[tokio::test]
async fn an_assertion_is_accepted_exactly_once_at_all_replicas() -> anyhow::Result<()> {
    let (signer, keys) = (Signer::new("a"), DocumentServer::start().await?);
    keys.serve(&signer.jwks());
    let server = proving(&keys).await?;
    let stage = Stage::local().await?;
    let other = stage.replica()?;
    let id = server.client_id();
    let presented = signer.presented(&id, "1", NOW_MS);
    let all =
        at_once((0..10).map(|n| check(if n % 2 == 0 { &stage.clients } else { &other }, &id, &presented)))
            .await;
    let accepted = all.iter().filter(|checked| checked.is_ok()).count();
    assert_eq!(accepted, 1, "{all:?}");
    let rejected = all
        .iter()
        .filter(|checked| **checked == Err(AuthorizationRefusal::ClientRejected));
    assert_eq!(rejected.count(), 9);
    assert_eq!(
        check(&other, &id, &signer.presented(&id, "2", NOW_MS)).await,
        Ok(())
    );
    // Each replica fetched the document and the keys once.
    assert_eq!((server.requests(), keys.requests()), (2, 2));
    Ok(())
}

#[tokio::test]
async fn an_assertion_of_another_key_type_or_client_is_refused() -> anyhow::Result<()> {
    let (signer, keys) = (Signer::new("a"), DocumentServer::start().await?);
    keys.serve(&signer.jwks());
    let server = proving(&keys).await?;
    let stage = Stage::local().await?;
    let id = server.client_id();
    let rejected = Err(AuthorizationRefusal::ClientRejected);
    let forged = Signer::new("a").presented(&id, "1", NOW_MS);
    assert_eq!(check(&stage.clients, &id, &forged).await, rejected);
    let of_another = signer.presented("https://evil.example/c", "2", NOW_MS);
    assert_eq!(check(&stage.clients, &id, &of_another).await, rejected);
    let mut untyped = signer.presented(&id, "3", NOW_MS);
    untyped.assertion_type = None;
    assert_eq!(check(&stage.clients, &id, &untyped).await, rejected);
    let public = PresentedClient {
        client_id: Some(id.clone()),
        ..PresentedClient::default()
    };
    assert_eq!(check(&stage.clients, &id, &public).await, rejected);
    let mut both = signer.presented(&id, "4", NOW_MS);
    both.client_id = Some("https://evil.example/c".to_owned());
    assert_eq!(check(&stage.clients, &id, &both).await, rejected);
    // None of these used up an assertion.
    assert_eq!(
        check(&stage.clients, &id, &signer.presented(&id, "1", NOW_MS)).await,
        Ok(())
    );
    Ok(())
}

#[tokio::test]
async fn a_new_key_of_the_client_is_found_after_half_a_minute() -> anyhow::Result<()> {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let keys = DocumentServer::start().await?;
    keys.serve(&old.jwks());
    let server = proving(&keys).await?;
    let stage = Stage::local().await?;
    let id = server.client_id();
    assert_eq!(
        check(&stage.clients, &id, &old.presented(&id, "1", NOW_MS)).await,
        Ok(())
    );
    keys.serve(&new.jwks());
    let presented = new.presented(&id, "2", NOW_MS);
    assert_eq!(
        check(&stage.clients, &id, &presented).await,
        Err(AuthorizationRefusal::ClientRejected)
    );
    assert_eq!(keys.requests(), 1);
    stage.clock.advance(Duration::from_secs(30));
    assert_eq!(check(&stage.clients, &id, &presented).await, Ok(()));
    assert_eq!((keys.requests(), server.requests()), (2, 1));
    Ok(())
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_reject_no_client() -> anyhow::Result<()> {
    let (signer, keys) = (Signer::new("a"), DocumentServer::start().await?);
    let server = proving(&keys).await?;
    keys.reply(super::server::Reply::Bytes(super::server::response(503, "", b"")));
    let stage = Stage::local().await?;
    let id = server.client_id();
    let refused = check(&stage.clients, &id, &signer.presented(&id, "1", NOW_MS)).await;
    assert_eq!(refused, Err(AuthorizationRefusal::ClientDocumentUnavailable));
    assert_eq!(refused.map_err(AuthorizationRefusal::status), Err(503));
    Ok(())
}
