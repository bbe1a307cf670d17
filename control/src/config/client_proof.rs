//! What proves a client at an issuer: a secret, or a private key.

use secrecy::SecretString;

use super::findings::Findings;
use super::issuer::ClientAuth;
use super::raw::{RawIssuer, RawSecret, Text};
use crate::upstream::dialect::Dialect;
use crate::upstream::issuer::client_assertion::ClientKey;
use crate::yaml::{Location, Spanned};

/// A client's secret or private key, and its authentication method.
pub(super) struct ClientProof {
    /// The secret, or the private key in PEM.
    pub(super) secret: SecretString,
    /// The method; `None`: from discovery.
    pub(super) auth: Option<ClientAuth>,
}

/// The proof of the client of `issuers[]`; adds a problem for each fault.
pub(super) fn of_issuer(findings: &mut Findings, raw: &RawIssuer, dialect: Dialect) -> Option<ClientProof> {
    let proof = proof(
        findings,
        raw.client_id.referenced,
        &Written {
            secret: raw.client_secret.as_ref(),
            key: raw.client_key.as_ref(),
            auth: raw.client_auth.as_ref(),
        },
        dialect,
    )?;
    if let Some(relay) = raw
        .relay
        .as_ref()
        .filter(|_| proof.auth == Some(ClientAuth::PrivateKeyJwt))
    {
        findings.add(
            relay.referenced,
            "a relay needs client_secret",
            "control compares the client's secret itself, and cannot do that with private_key_jwt: leave relay out",
        );
    }
    Some(proof)
}

/// The fields as written.
pub(super) struct Written<'a> {
    /// `client_secret`.
    pub(super) secret: Option<&'a Spanned<RawSecret>>,
    /// `client_key`.
    pub(super) key: Option<&'a Spanned<RawSecret>>,
    /// `client_auth`.
    pub(super) auth: Option<&'a Text>,
}

/// The proof of a client at an issuer of this `dialect`, whose entry is at `place`.
pub(super) fn proof(
    findings: &mut Findings,
    place: Location,
    written: &Written<'_>,
    dialect: Dialect,
) -> Option<ClientProof> {
    let auth = findings.client_auth("client_auth", written.auth);
    match (written.secret, written.key) {
        (Some(secret), None) => {
            if auth == Some(ClientAuth::PrivateKeyJwt) {
                findings.add(
                    secret.referenced,
                    "client_auth is private_key_jwt, and there is no client_key",
                    "write client_key, the private key in PEM, in place of client_secret",
                );
            }
            let secret = findings.secret("client_secret", secret)?;
            Some(ClientProof { secret, auth })
        }
        (None, Some(key)) => {
            if matches!(auth, Some(ClientAuth::Basic | ClientAuth::Post)) {
                findings.add(
                    key.referenced,
                    "client_key is for client_auth private_key_jwt only",
                    "leave client_auth out, or write client_secret",
                );
            }
            Some(ClientProof {
                secret: private_key(findings, key, dialect)?,
                auth: Some(ClientAuth::PrivateKeyJwt),
            })
        }
        (Some(_), Some(key)) => {
            findings.add(
                key.referenced,
                "client_secret and client_key are both there",
                "a client authenticates in one way: leave one of them out",
            );
            None
        }
        (None, None) => {
            findings.add(
                place,
                "the client has neither client_secret nor client_key",
                "add client_secret, or client_key for private_key_jwt",
            );
            None
        }
    }
}

fn private_key(findings: &mut Findings, raw: &Spanned<RawSecret>, dialect: Dialect) -> Option<SecretString> {
    let pem = findings.pem("client_key", raw)?;
    match ClientKey::read(&pem) {
        Ok(key) if dialect.needs_client_certificate() && !key.has_certificate() => {
            findings.add(
                raw.referenced,
                "client_key has no certificate, by which this issuer finds the key",
                "put the certificate that is registered at the issuer into the same file, in PEM",
            );
            None
        }
        Ok(_) => Some(pem),
        Err(bad) => {
            findings.add(
                raw.referenced,
                format!("client_key {bad}"),
                "make a key as in `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`",
            );
            None
        }
    }
}
