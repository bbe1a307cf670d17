//! Signatures of compact JWS: an allow-list of asymmetric algorithms, and a key that fits the algorithm (RFC 8725 §3.1,
//! §3.2). Times, issuer and audience are judged by the caller, which knows the clock and what it expects.

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

use super::jwk::{Curve, Material, VerifyingKey};

/// An accepted signature algorithm (RFC 7518 §3.1, RFC 9864 §2.2). `none` and HS* are absent: with them, anyone who has the
/// issuer's public key could sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
    /// ECDSA with P-521 and SHA-512.
    Es512,
    /// EdDSA with Ed25519, by either name: `EdDSA` (RFC 8037) or `Ed25519` (RFC 9864).
    Ed25519,
}

impl Algorithm {
    /// The algorithm of a JOSE `alg` value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }

    /// Its JOSE name, for EdDSA that of RFC 8037, which every version reads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Ed25519 => "EdDSA",
        }
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }
}

/// What the header of a token says about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeader {
    /// One of the algorithms that are accepted.
    pub algorithm: Algorithm,
    /// `kid`: which key, where it says so.
    pub key_id: Option<String>,
    /// `typ`, where it says so.
    pub kind: Option<String>,
}

/// Why a header is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Not the JSON of a JOSE header, or with `crit` members (RFC 7515 §4.1.11), none of which is understood.
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
        Algorithm::from_name(&header.alg).ok_or_else(|| BadHeader::Algorithm(shown(&header.alg)))?;
    Ok(SignatureHeader {
        algorithm,
        key_id: header.kid,
        kind: header.typ,
    })
}

/// A `kid` or `alg` as it may stand in an answer or a log line: a client can write anything there.
#[must_use]
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 64;
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "-_.~:/+=".contains(letter) {
            letter
        } else {
            '?'
        }
    };
    let mut shown: String = text.chars().take(LONGEST).map(plain).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Whether `key` may verify signatures of `algorithm`: its type, its curve and what it says of itself agree.
#[must_use]
pub fn key_fits(key: &VerifyingKey, algorithm: Algorithm) -> bool {
    key.stated_algorithm().is_none_or(|stated| stated == algorithm) && is_of(key.material(), algorithm)
}

/// Whether keys of this kind can be used with `algorithm` at all.
pub(super) fn is_of(material: &Material, algorithm: Algorithm) -> bool {
    match material {
        Material::Rsa { .. } => algorithm.rsa().is_some(),
        Material::Ec { curve, .. } => {
            algorithm
                == match curve {
                    Curve::P256 => Algorithm::Es256,
                    Curve::P384 => Algorithm::Es384,
                    Curve::P521 => Algorithm::Es512,
                }
        }
        Material::Ed25519 { .. } => algorithm == Algorithm::Ed25519,
    }
}

/// Whether `key` made the signature of `token`. The payload is not judged.
#[must_use]
pub fn signed_by(token: &str, algorithm: Algorithm, key: &VerifyingKey) -> bool {
    if !key_fits(key, algorithm) {
        return false;
    }
    // Compact serialization and nothing else: three parts.
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
        Material::Rsa { modulus, exponent } => algorithm.rsa().is_some_and(|parameters| {
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
