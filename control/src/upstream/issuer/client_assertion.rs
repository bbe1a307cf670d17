//! Client authentication with a private key (RFC 7523 §2.2, OpenID Connect Core §9 `private_key_jwt`): the key, and the
//! assertion that it signs for one request.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::jwk::VerifyingKey;

/// `client_assertion_type` (RFC 7523 §2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How long an assertion is valid, in seconds. Issuers accept five minutes at most.
const LIFETIME_SECONDS: u64 = 120;
/// How far control's clock may be ahead of the issuer's.
const NOT_BEFORE_SECONDS: u64 = 60;
/// Shorter RSA keys are not accepted (RFC 7518 §3.3).
const MIN_RSA_BYTES: usize = 256;

/// Why a configured client key is not usable. Quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadClientKey {
    /// No PEM block of a private key.
    #[error("contains no private key in PEM")]
    NoKey,
    /// A kind that is not supported, or a damaged key.
    #[error("is no RSA key of 2048 bits or more, no P-256 or P-384 key and no Ed25519 key, or is damaged")]
    Unsupported,
    /// A PEM block of a certificate that cannot be read.
    #[error("contains a damaged certificate")]
    BadCertificate,
}

/// A client's private key. Its `Debug` output has the key id only.
pub struct ClientKey {
    pair: Pair,
    public: Map<String, Value>,
    key_id: String,
    /// SHA-256 of its certificate, if it has one (RFC 7515 §4.1.8).
    certificate_thumbprint: Option<String>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for ClientKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ClientKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// What an assertion states.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// `iss` and `sub`.
    pub client_id: &'a str,
    /// `aud`.
    pub audience: &'a str,
    /// The present, Unix ms.
    pub now_ms: u64,
    /// `jti`: never the same twice, also not for a repeated request.
    pub id: &'a str,
    /// Whether an RSA key signs with PSS.
    pub with_pss: bool,
}

impl ClientKey {
    /// Reads a private key in PEM (PKCS#8, PKCS#1 or SEC 1), and its certificate if that is in the same text.
    ///
    /// # Errors
    /// [`BadClientKey`].
    pub fn read(pem: &SecretString) -> Result<Self, BadClientKey> {
        let text = pem.expose_secret().as_bytes();
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| BadClientKey::NoKey)?;
        let (pair, public) = pair(&key).ok_or(BadClientKey::Unsupported)?;
        let Value::Object(public) = public else {
            return Err(BadClientKey::Unsupported);
        };
        let key_id = VerifyingKey::read(&public)
            .map_err(|_| BadClientKey::Unsupported)?
            .thumbprint();
        Ok(Self {
            certificate_thumbprint: certificate_thumbprint(text)?,
            pair,
            public,
            key_id,
        })
    }

    /// `kid`: the thumbprint (RFC 7638).
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether it has a certificate.
    #[must_use]
    pub const fn has_certificate(&self) -> bool {
        self.certificate_thumbprint.is_some()
    }

    /// The public key as a JWK (RFC 7517), to be registered at the issuer.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk.insert("kid".to_owned(), self.key_id.as_str().into());
        jwk.insert("use".to_owned(), "sig".into());
        Value::Object(jwk)
    }

    /// A signed assertion; `None` if the operating system returns no random bytes.
    #[must_use]
    pub fn sign(&self, assertion: &Assertion<'_>) -> Option<SecretString> {
        let now_seconds = assertion.now_ms / 1000;
        let mut header = json!({ "alg": self.algorithm(assertion.with_pss), "typ": "JWT" });
        // An issuer that knows the certificate finds the key by it, and may refuse a `kid` that it does not know.
        match &self.certificate_thumbprint {
            Some(thumbprint) => header["x5t#S256"] = thumbprint.as_str().into(),
            None => header["kid"] = self.key_id.as_str().into(),
        }
        let claims = json!({
            "iss": assertion.client_id,
            "sub": assertion.client_id,
            "aud": assertion.audience,
            "jti": assertion.id,
            "iat": now_seconds,
            "nbf": now_seconds.saturating_sub(NOT_BEFORE_SECONDS),
            "exp": now_seconds.saturating_add(LIFETIME_SECONDS),
        });
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.signature(signed.as_bytes(), assertion.with_pss)?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }

    const fn algorithm(&self, with_pss: bool) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) if with_pss => "PS256",
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    fn signature(&self, input: &[u8], with_pss: bool) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn RsaEncoding = if with_pss {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, input, &mut signature).ok()?;
                Some(signature)
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, input).ok().map(|made| made.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Some(pair.sign(input).as_ref().to_vec()),
        }
    }
}

/// The key pair and its public key as a JWK.
fn pair(key: &PrivateKeyDer<'_>) -> Option<(Pair, Value)> {
    let der = key.secret_der();
    let rsa = match key {
        PrivateKeyDer::Pkcs1(_) => RsaKeyPair::from_der(der),
        _ => RsaKeyPair::from_pkcs8(der),
    };
    if let Ok(pair) = rsa {
        let public = rsa_jwk(&pair).filter(|_| pair.public_modulus_len() >= MIN_RSA_BYTES)?;
        return Some((Pair::Rsa(pair), public));
    }
    let curve = |algorithm| match key {
        PrivateKeyDer::Sec1(_) => EcdsaKeyPair::from_private_key_der(algorithm, der).ok(),
        _ => EcdsaKeyPair::from_pkcs8(algorithm, der).ok(),
    };
    if let Some(pair) = curve(&ECDSA_P256_SHA256_FIXED_SIGNING) {
        let public = ec_jwk(&pair, "P-256")?;
        return Some((Pair::P256(pair), public));
    }
    if let Some(pair) = curve(&ECDSA_P384_SHA384_FIXED_SIGNING) {
        let public = ec_jwk(&pair, "P-384")?;
        return Some((Pair::P384(pair), public));
    }
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    Some((
        Pair::Ed25519(pair),
        json!({"kty": "OKP", "crv": "Ed25519", "x": x}),
    ))
}

/// The public key is the DER of RSAPublicKey (RFC 8017 §A.1.1): a sequence of modulus and exponent.
fn rsa_jwk(pair: &RsaKeyPair) -> Option<Value> {
    let (sequence, _) = der_value(0x30, pair.public_key().as_ref())?;
    let (modulus, rest) = der_value(0x02, sequence)?;
    let (exponent, _) = der_value(0x02, rest)?;
    let text = |number: &[u8]| {
        let leading_zeros = number.iter().take_while(|byte| **byte == 0).count();
        URL_SAFE_NO_PAD.encode(number.get(leading_zeros..).unwrap_or_default())
    };
    Some(json!({"kty": "RSA", "n": text(modulus), "e": text(exponent)}))
}

/// The content of the DER value with `tag` at the beginning of `bytes`, and what follows it.
fn der_value(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7F => (usize::from(*length), rest),
        // A length of that many bytes.
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7F))?;
            let length = digits.iter().try_fold(0_usize, |sum, digit| {
                sum.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (length, rest)
        }
    };
    if *first != tag {
        return None;
    }
    rest.split_at_checked(length)
}

/// The point is uncompressed: 4, x, y (SEC 1 §2.3.3).
fn ec_jwk(pair: &EcdsaKeyPair, curve: &str) -> Option<Value> {
    let (4, coordinates) = pair.public_key().as_ref().split_first()? else {
        return None;
    };
    let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
    let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
    Some(json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)}))
}

fn certificate_thumbprint(pem: &[u8]) -> Result<Option<String>, BadClientKey> {
    match CertificateDer::pem_slice_iter(pem).next() {
        None => Ok(None),
        Some(Ok(certificate)) => Ok(Some(URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate)))),
        Some(Err(_)) => Err(BadClientKey::BadCertificate),
    }
}
