//! Signing keys. Generating a 2048-bit RSA key takes long in a debug build, so a process pools the ones it has
//! generated and reuses them; two issuers that live at the same time never hold the same key.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::wire;

static IDLE: Mutex<Vec<RsaKeyPair>> = Mutex::new(Vec::new());

/// A key pair on loan from the process-wide pool.
#[derive(Debug)]
struct Loan(Option<RsaKeyPair>);

impl Loan {
    fn take() -> Self {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(Some(idle.unwrap_or_else(|| {
            RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key")
        })))
    }

    fn pair(&self) -> &RsaKeyPair {
        self.0.as_ref().expect("a loan holds its key until it is dropped")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        IDLE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(self.0.take());
    }
}

/// An RSA key with its id.
#[derive(Debug, Clone)]
pub(crate) struct SigningKey {
    pub(crate) kid: String,
    loan: Arc<Loan>,
}

impl SigningKey {
    pub(crate) fn new() -> Self {
        Self {
            kid: wire::new_key_id(),
            loan: Arc::new(Loan::take()),
        }
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518 §3.3).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let pair = self.loan.pair();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("an RSA signature");
        signature
    }

    /// The public key as Dex publishes it (RFC 7517).
    pub(crate) fn jwk(&self) -> Value {
        let public = self.loan.pair().public_key();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "use": "sig",
            "kty": "RSA",
            "kid": self.kid,
            "alg": "RS256",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The public key as PEM, what an attacker would use as an HMAC secret.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self
            .loan
            .pair()
            .public_key()
            .as_der()
            .expect("a public key has a DER form");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)])
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }
}

/// The current key and the ones before it, with public halves that stay published.
#[derive(Debug)]
pub(crate) struct KeyRing {
    keys: Vec<SigningKey>,
}

impl KeyRing {
    pub(crate) fn new() -> Self {
        Self {
            keys: vec![SigningKey::new()],
        }
    }

    pub(crate) fn current(&self) -> SigningKey {
        self.keys[0].clone()
    }

    /// The new key signs at once; Dex never publishes it in advance.
    pub(crate) fn rotate(&mut self) {
        self.keys.insert(0, SigningKey::new());
    }

    pub(crate) fn forget_previous(&mut self) {
        self.keys.truncate(1);
    }

    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": self.keys.iter().map(SigningKey::jwk).collect::<Vec<_>>()})
    }
}
