//! Reading and verifying compact JWS with RS256, written independently of the library that control uses, so that a fault
//! in that library does not stay hidden.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

/// A compact JWS (RFC 7515 §3.1) taken apart, nothing verified.
#[derive(Debug, Clone)]
pub(crate) struct Jws {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    /// The payload as it was signed.
    pub(crate) payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Jws {
    pub(crate) fn read(token: &str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        Some(Self {
            header: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?,
            claims: serde_json::from_slice(&payload).ok()?,
            payload,
            signed: signed.to_owned(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// `exp`, Unix seconds.
    pub(crate) fn exp_seconds(&self) -> Option<i64> {
        self.claims.get("exp")?.as_i64()
    }

    /// `aud`, one string or a list.
    pub(crate) fn audiences(&self) -> Vec<String> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the RSA key `jwk` made the signature, by RS256 or PS256 as the header has it. Key ids are not compared.
    pub(crate) fn is_made_by(&self, jwk: &Value) -> bool {
        let parameters = match self.header.get("alg").and_then(Value::as_str) {
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            _ => return false,
        };
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
        let (Some(n), Some(e)) = (bytes("n"), bytes("e")) else {
            return false;
        };
        RsaPublicKeyComponents { n, e }
            .verify(parameters, self.signed.as_bytes(), &self.signature)
            .is_ok()
    }

    /// Whether `keys` has a key with this token's id that made its signature. Only RS256: `none` and HS256 never pass.
    pub(crate) fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let kid = self.header.get("kid").and_then(Value::as_str);
        let rs256 = self.header.get("alg").and_then(Value::as_str) == Some("RS256");
        rs256
            && keys
                .iter()
                .filter(|key| Some(key.kid.as_str()) == kid)
                .any(|key| key.made(self))
    }
}

/// base64url(header) "." base64url(claims), what is signed. Members stand in the order of the type.
pub(crate) fn signing_input(header: &impl Serialize, claims: &impl Serialize) -> serde_json::Result<String> {
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header)?);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    Ok(format!("{header}.{claims}"))
}

/// A published RSA key.
#[derive(Debug, Clone)]
pub(crate) struct PublicKey {
    kid: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl PublicKey {
    fn made(&self, jws: &Jws) -> bool {
        RsaPublicKeyComponents {
            n: &self.modulus,
            e: &self.exponent,
        }
        .verify(&RSA_PKCS1_2048_8192_SHA256, jws.signed.as_bytes(), &jws.signature)
        .is_ok()
    }

    /// The RSA keys of a JWKS document; others are left out.
    pub(crate) fn read_set(document: &Value) -> Vec<Self> {
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        keys.iter().filter_map(Self::read).collect()
    }

    fn read(jwk: &Value) -> Option<Self> {
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
        Some(Self {
            kid: jwk.get("kid")?.as_str()?.to_owned(),
            modulus: bytes("n")?,
            exponent: bytes("e")?,
        })
    }
}

/// Keys of a remote issuer: stored indefinitely, fetched when no stored one verifies a signature, one fetch at a time.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    url: String,
    http: reqwest::Client,
    keys: Mutex<Vec<PublicKey>>,
}

impl RemoteKeys {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            http: http_client(),
            keys: Mutex::default(),
        }
    }

    /// Whether the issuer's key made the signature; `false` also when its keys cannot be fetched.
    pub(crate) async fn verify(&self, jws: &Jws) -> bool {
        let mut keys = self.keys.lock().await;
        if jws.is_signed_by(&keys) {
            return true;
        }
        let Ok(fresh) = self.fetch().await else {
            return false;
        };
        *keys = fresh;
        jws.is_signed_by(&keys)
    }

    async fn fetch(&self) -> reqwest::Result<Vec<PublicKey>> {
        let document: Value = self
            .http
            .get(&self.url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok(PublicKey::read_set(&document))
    }
}

/// A client for calls between parts on this machine.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .build()
        .expect("an HTTP client")
}
