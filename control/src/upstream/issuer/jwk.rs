//! JSON Web Keys (RFC 7517), read tolerantly: padding, leading zero octets and members without a meaning here do not make a
//! key unusable, and a key that is not used is reported with the reason.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::algorithm::Algorithm;
use super::loggable::loggable;

/// The accepted sizes of an RSA modulus (RFC 7518 §3.3 requires at least 2,048 bits).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// base64url with or without padding, and with any value in the unused last bits.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An elliptic curve of RFC 7518 §6.2.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// P-256.
    P256,
    /// P-384.
    P384,
    /// P-521.
    P521,
}

impl Curve {
    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn has_point(self, point: &[u8]) -> bool {
        let algorithm = match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        };
        ParsedPublicKey::new(algorithm, point).is_ok()
    }
}

/// The public key itself, without the JWK's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// RSA, both big-endian without leading zero octets.
    Rsa {
        /// `n`
        modulus: Vec<u8>,
        /// `e`
        exponent: Vec<u8>,
    },
    /// A point on a curve.
    Ec {
        /// `crv`
        curve: Curve,
        /// Uncompressed (SEC 1 §2.3.3).
        point: Vec<u8>,
    },
    /// Ed25519 (RFC 8032 §5.1).
    Ed25519 {
        /// `x`
        public: Vec<u8>,
    },
}

impl Material {
    /// Whether a key of this kind can be used with `algorithm`.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => algorithm.is_rsa(),
            Self::Ec { curve, .. } => {
                algorithm
                    == match curve {
                        Curve::P256 => Algorithm::Es256,
                        Curve::P384 => Algorithm::Es384,
                        Curve::P521 => Algorithm::Es512,
                    }
            }
            Self::Ed25519 { .. } => algorithm == Algorithm::Ed25519,
        }
    }
}

/// A public key that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    id: Option<String>,
    stated: Option<Algorithm>,
    material: Material,
}

/// Why a key of a set is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsed {
    /// It has another use than signatures: encryption, for example. Usual, and not a fault.
    #[error("it is not for verifying signatures")]
    OtherUse,
    /// Its type, curve, size or algorithm is not supported.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// A member is missing or malformed.
    #[error("{0}")]
    Unreadable(&'static str),
}

/// A key of a set that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedKey {
    /// Its `kid`.
    pub id: Option<String>,
    /// Why.
    pub why: NotUsed,
}

impl VerifyingKey {
    /// Reads one JWK.
    ///
    /// # Errors
    /// [`NotUsed`].
    pub fn read(jwk: &Map<String, Value>) -> Result<Self, NotUsed> {
        is_for_signatures(jwk)?;
        let material = material(jwk)?;
        let stated = match text(jwk, "alg") {
            None => None,
            Some(name) => match Algorithm::from_name(name) {
                Some(algorithm) if material.fits(algorithm) => Some(algorithm),
                Some(_) => return Err(NotUsed::Unreadable("its alg does not fit its type")),
                None if is_encryption(name) => return Err(NotUsed::OtherUse),
                None => return Err(NotUsed::Unsupported(format!("algorithm {}", loggable(name)))),
            },
        };
        Ok(Self {
            id: text(jwk, "kid").map(str::to_owned),
            stated,
            material,
        })
    }

    /// `kid`; a key without one is tried for every token.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// `alg`, if stated.
    #[must_use]
    pub const fn stated_algorithm(&self) -> Option<Algorithm> {
        self.stated
    }

    /// The public key itself.
    #[must_use]
    pub const fn material(&self) -> &Material {
        &self.material
    }

    /// The JWK SHA-256 thumbprint (RFC 7638 §3), base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let jwk = self.required_members();
        let member = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
        // §3.2: sorted by name, without blanks; no value here needs escaping.
        let names: &[&str] = match &self.material {
            Material::Rsa { .. } => &["e", "kty", "n"],
            Material::Ec { .. } => &["crv", "kty", "x", "y"],
            Material::Ed25519 { .. } => &["crv", "kty", "x"],
        };
        let members: Vec<String> = names
            .iter()
            .map(|name| format!("\"{name}\":\"{}\"", member(name)))
            .collect();
        let canonical = format!("{{{}}}", members.join(","));
        URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()))
    }

    /// The key as a JWK that older versions read too: these know neither `Ed25519` as `alg` nor ES512.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let mut jwk = self.required_members();
        jwk["use"] = "sig".into();
        if let Some(id) = &self.id {
            jwk["kid"] = id.as_str().into();
        }
        if let Some(stated) = self.stated
            && !matches!(stated, Algorithm::Es512 | Algorithm::Ed25519)
        {
            jwk["alg"] = stated.name().into();
        }
        jwk
    }

    fn required_members(&self) -> Value {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                json!({"e": encode(exponent), "kty": "RSA", "n": encode(modulus)})
            }
            Material::Ec { curve, point } => {
                let coordinates = point.get(1..).unwrap_or_default();
                let (x, y) = coordinates.split_at(coordinates.len() / 2);
                json!({"crv": curve.name(), "kty": "EC", "x": encode(x), "y": encode(y)})
            }
            Material::Ed25519 { public } => json!({"crv": "Ed25519", "kty": "OKP", "x": encode(public)}),
        }
    }
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

/// RFC 7517 §4.2, §4.3.
fn is_for_signatures(jwk: &Map<String, Value>) -> Result<(), NotUsed> {
    let of_another_use = match text(jwk, "use") {
        None | Some("sig") => false,
        Some("enc") => true,
        Some(usage) => return Err(NotUsed::Unsupported(format!("use {}", loggable(usage)))),
    };
    let without_verify = jwk
        .get("key_ops")
        .and_then(Value::as_array)
        .is_some_and(|operations| !operations.iter().any(|operation| operation == "verify"));
    if of_another_use || without_verify {
        return Err(NotUsed::OtherUse);
    }
    Ok(())
}

/// Whether `alg` is one of RFC 7518 §4.1's for encrypting keys.
fn is_encryption(name: &str) -> bool {
    ["RSA-OAEP", "RSA1_5", "ECDH-ES"]
        .iter()
        .any(|family| name.starts_with(family))
}

fn material(jwk: &Map<String, Value>) -> Result<Material, NotUsed> {
    let unsupported = |what: &str, name: &str| NotUsed::Unsupported(format!("{what} {}", loggable(name)));
    let curve = || text(jwk, "crv").ok_or(NotUsed::Unreadable("it has no crv"));
    match text(jwk, "kty").ok_or(NotUsed::Unreadable("it has no kty"))? {
        "RSA" => rsa(jwk),
        "EC" => match curve()? {
            "P-256" => point(jwk, Curve::P256),
            "P-384" => point(jwk, Curve::P384),
            "P-521" => point(jwk, Curve::P521),
            other => Err(unsupported("curve", other)),
        },
        "OKP" => match curve()? {
            "Ed25519" => {
                let public = number(jwk, "x").filter(|public| public.len() == 32);
                let public = public.ok_or(NotUsed::Unreadable("its x is not 32 bytes of base64url"))?;
                Ok(Material::Ed25519 { public })
            }
            "X25519" | "X448" => Err(NotUsed::OtherUse),
            other => Err(unsupported("curve", other)),
        },
        // Including a symmetric key, which in a published set is a mistake or an attack.
        other => Err(unsupported("key type", other)),
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<Material, NotUsed> {
    if jwk.contains_key("x5c") && !jwk.contains_key("n") {
        return Err(NotUsed::Unreadable(
            "it has x5c but not n and e (RFC 7518 §6.3.1)",
        ));
    }
    let positive = |name: &str| {
        let number = without_leading_zeros(number(jwk, name)?);
        (!number.is_empty()).then_some(number)
    };
    let (Some(modulus), Some(exponent)) = (positive("n"), positive("e")) else {
        return Err(NotUsed::Unreadable("its n and e are not base64url numbers"));
    };
    let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    let bits = modulus.len() * 8 - unused;
    if !RSA_BITS.contains(&bits) {
        return Err(NotUsed::Unsupported(format!("an RSA key of {bits} bits")));
    }
    Ok(Material::Rsa { modulus, exponent })
}

fn point(jwk: &Map<String, Value>, curve: Curve) -> Result<Material, NotUsed> {
    let size = curve.coordinate_bytes();
    let coordinate = |name: &str| {
        let number = without_leading_zeros(number(jwk, name)?);
        let missing = size.checked_sub(number.len())?;
        Some([vec![0; missing], number].concat())
    };
    let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) else {
        return Err(NotUsed::Unreadable(
            "its x and y are not base64url numbers of its curve",
        ));
    };
    let point = [vec![4], x, y].concat();
    if !curve.has_point(&point) {
        return Err(NotUsed::Unreadable("it is not a point of its curve"));
    }
    Ok(Material::Ec { curve, point })
}

/// A base64url member as bytes; padding, white space and the letters of the standard alphabet are accepted.
fn number(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    let letters: String = text(jwk, name)?
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .map(|letter| match letter {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect();
    TOLERANT.decode(letters).ok()
}

fn without_leading_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.drain(..zeros);
    number
}
