//! Signatures of compact JWS: an allow-list of asymmetric algorithms, and a key that fits the algorithm (RFC 8725 §3.1,
//! §3.2). The caller checks times, issuer and audience.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::algorithm::Algorithm;
use super::jwk::{Curve, Material, VerifyingKey};
use super::loggable::loggable;

/// The header of a token, as far as its signature needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeader {
    /// One of the algorithms that are accepted.
    pub algorithm: Algorithm,
    /// `kid`, if stated.
    pub key_id: Option<String>,
    /// `typ`, if stated.
    pub kind: Option<String>,
}

/// Why a header is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Not the JSON of a JOSE header, or one with `crit` (RFC 7515 §4.1.11), of which no extension is supported.
    #[error("its JOSE header is not understood")]
    Unreadable,
    /// `alg` is not one of [`Algorithm`]'s.
    #[error("algorithm {0} is not supported")]
    Algorithm(String),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// Reads the JOSE header of a compact JWS.
///
/// # Errors
/// [`BadHeader`].
pub fn read_header(token: &str) -> Result<SignatureHeader, BadHeader> {
    let (header, _) = token.split_once('.').ok_or(BadHeader::Unreadable)?;
    let header = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|_| BadHeader::Unreadable)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| BadHeader::Unreadable)?;
    if header.crit.is_some() {
        return Err(BadHeader::Unreadable);
    }
    let algorithm =
        Algorithm::from_name(&header.alg).ok_or_else(|| BadHeader::Algorithm(loggable(&header.alg)))?;
    Ok(SignatureHeader {
        algorithm,
        key_id: header.kid,
        kind: header.typ,
    })
}

/// Whether `key` may verify signatures of `algorithm`: its type, its curve and its stated `alg` agree.
#[must_use]
pub fn key_fits(key: &VerifyingKey, algorithm: Algorithm) -> bool {
    key.stated_algorithm().is_none_or(|stated| stated == algorithm) && key.material().fits(algorithm)
}

/// Whether `key` made the signature of `token`. The payload is not checked.
#[must_use]
pub fn signed_by(token: &str, algorithm: Algorithm, key: &VerifyingKey) -> bool {
    if !key_fits(key, algorithm) {
        return false;
    }
    // Compact serialization only: three parts.
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let signed = token.get(..header.len() + 1 + payload.len()).unwrap_or_default();
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    is_signature(key.material(), algorithm, signed.as_bytes(), &signature)
}

fn is_signature(material: &Material, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
    match material {
        Material::Rsa { modulus, exponent } => rsa_parameters(algorithm).is_some_and(|parameters| {
            let key = RsaPublicKeyComponents {
                n: modulus,
                e: exponent,
            };
            key.verify(parameters, signed, signature).is_ok()
        }),
        Material::Ec { curve, point } => {
            let algorithm = match curve {
                Curve::P256 => &ECDSA_P256_SHA256_FIXED,
                Curve::P384 => &ECDSA_P384_SHA384_FIXED,
                Curve::P521 => &ECDSA_P521_SHA512_FIXED,
            };
            UnparsedPublicKey::new(algorithm, point)
                .verify(signed, signature)
                .is_ok()
        }
        Material::Ed25519 { public } => UnparsedPublicKey::new(&ED25519, public)
            .verify(signed, signature)
            .is_ok(),
    }
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
