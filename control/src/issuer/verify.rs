//! Signatures: an allow-list of algorithms, and a key that fits the algorithm. Times, issuer and audience are the
//! caller's business: it knows the clock and what it expects.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Map;

/// What the header of a token says about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeader {
    /// One of the algorithms that are accepted.
    pub algorithm: Algorithm,
    /// Which key, where it says so.
    pub key_id: Option<String>,
    /// `typ`, where it says so.
    pub kind: Option<String>,
}

/// The algorithms that are accepted: asymmetric ones only. `none` and HS* would let anybody sign who has the
/// issuer's public key.
const ACCEPTED: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Reads the header; `None` for anything that is not a JWS with an accepted algorithm.
#[must_use]
pub fn read_header(token: &str) -> Option<SignatureHeader> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    // RFC 7515 §4.1.11: what `crit` names must be understood, and nothing there is.
    if header.crit.is_some() || !ACCEPTED.contains(&header.alg) {
        return None;
    }
    Some(SignatureHeader {
        algorithm: header.alg,
        key_id: header.kid,
        kind: header.typ,
    })
}

/// Whether `key` may verify signatures of `algorithm`: type, curve, `use`, `key_ops` and `alg` agree.
#[must_use]
pub fn key_fits(key: &Jwk, algorithm: Algorithm) -> bool {
    if key
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|usage| *usage != PublicKeyUse::Signature)
    {
        return false;
    }
    if key
        .common
        .key_operations
        .as_ref()
        .is_some_and(|operations| !operations.contains(&KeyOperations::Verify))
    {
        return false;
    }
    if key
        .common
        .key_algorithm
        .is_some_and(|stated| algorithm_of(stated) != Some(algorithm))
    {
        return false;
    }
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(curve) => matches!(
            (&curve.curve, algorithm),
            (EllipticCurve::P256, Algorithm::ES256) | (EllipticCurve::P384, Algorithm::ES384)
        ),
        AlgorithmParameters::OctetKeyPair(pair) => {
            pair.curve == EllipticCurve::Ed25519 && algorithm == Algorithm::EdDSA
        }
        // A symmetric key in a published set is somebody's mistake or attack.
        _ => false,
    }
}

fn algorithm_of(stated: KeyAlgorithm) -> Option<Algorithm> {
    stated.to_string().parse().ok()
}

/// Whether `key` made the signature of `token`. The payload is not judged.
#[must_use]
pub fn signed_by(token: &str, algorithm: Algorithm, key: &Jwk) -> bool {
    if !key_fits(key, algorithm) {
        return false;
    }
    let Ok(decoding_key) = DecodingKey::from_jwk(key) else {
        return false;
    };
    // Compact serialization and nothing else: three parts.
    let mut parts = token.splitn(3, '.');
    let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let signed = token.get(..header.len() + 1 + payload.len()).unwrap_or_default();
    jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &decoding_key, algorithm).unwrap_or(false)
}

/// Reads a JWK set. Keys that cannot be understood are left out: an issuer may publish a new kind beside the old.
#[must_use]
pub fn read_key_set(body: &[u8]) -> Option<Vec<Jwk>> {
    /// More keys than this are not read: each costs memory and, without `kid`, a verification.
    const MOST_KEYS: usize = 100;
    let document: Map<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let keys = document.get("keys")?.as_array()?;
    Some(
        keys.iter()
            .take(MOST_KEYS)
            .filter_map(|key| serde_json::from_value(key.clone()).ok())
            .filter(|key: &Jwk| ACCEPTED.iter().any(|algorithm| key_fits(key, *algorithm)))
            .collect(),
    )
}
