//! The private key of a client, and its certificate (OpenID Connect Core §9, `private_key_jwt`).

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::issuer::jose::Jws;
use crate::secrets;

/// An RSA key of a client. The issuer knows its public half.
#[derive(Clone)]
pub struct CloudClientKey {
    /// What the client's file has.
    pem: String,
    jwk: Value,
    /// The thumbprint of the key (RFC 7638).
    key_id: String,
    /// SHA-256 of the certificate.
    certificate_id: Option<String>,
}

impl std::fmt::Debug for CloudClientKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CloudClientKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl CloudClientKey {
    /// A new key of 2048 bits.
    ///
    /// # Errors
    /// When none can be made.
    pub fn generate() -> anyhow::Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)])
            .collect();
        lines.iter().for_each(|line| secrets::note(line));
        let public = pair.public_key();
        let n = URL_SAFE_NO_PAD.encode(public.modulus().big_endian_without_leading_zero());
        let e = URL_SAFE_NO_PAD.encode(public.exponent().big_endian_without_leading_zero());
        let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        Ok(Self {
            pem: format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                lines.join("\n")
            ),
            jwk: json!({"kty": "RSA", "n": n, "e": e}),
            key_id: URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(canonical)),
            certificate_id: None,
        })
    }

    /// The same with a certificate that it signs itself.
    ///
    /// # Errors
    /// When none can be made.
    pub fn with_certificate() -> anyhow::Result<Self> {
        let key = Self::generate()?;
        let certificate =
            CertificateParams::new(vec!["muster".to_owned()])?.self_signed(&KeyPair::from_pem(&key.pem)?)?;
        Ok(Self {
            pem: format!("{}{}", key.pem, certificate.pem()),
            certificate_id: Some(URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(certificate.der()))),
            ..key
        })
    }

    /// The private key in PEM, and the certificate after it if there is one.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Whether it signed `assertion`, which names the certificate where there is one, else the key or none.
    pub(super) fn signed(&self, assertion: &Jws) -> bool {
        let header = |name: &str| assertion.header.get(name).and_then(Value::as_str);
        let is_named = match &self.certificate_id {
            Some(id) => header("x5t#S256") == Some(id),
            None => header("kid").is_none_or(|id| id == self.key_id),
        };
        is_named && assertion.is_made_by(&self.jwk)
    }
}
