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
            names: &OF_ISSUERS,
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

/// The names of the fields, which differ between the parts of the configuration.
pub(super) struct Names {
    secret: &'static str,
    key: &'static str,
    auth: &'static str,
}

const OF_ISSUERS: Names = Names {
    secret: "client_secret",
    key: "client_key",
    auth: "client_auth",
};
/// In `clientCredentials` of an exchange.
pub(super) const OF_EXCHANGES: Names = Names {
    secret: "clientSecret",
    key: "clientKey",
    auth: "clientAuth",
};

/// The fields as written.
pub(super) struct Written<'a> {
    /// Their names.
    pub(super) names: &'a Names,
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
    let Names {
        secret: secret_name,
        key: key_name,
        auth: auth_name,
    } = written.names;
    let auth = findings.client_auth(auth_name, written.auth);
    match (written.secret, written.key) {
        (Some(secret), None) => {
            if auth == Some(ClientAuth::PrivateKeyJwt) {
                findings.add(
                    secret.referenced,
                    format!("{auth_name} is private_key_jwt, and there is no {key_name}"),
                    format!("write {key_name}, the private key in PEM, in place of {secret_name}"),
                );
            }
            let secret = findings.secret(secret_name, secret)?;
            Some(ClientProof { secret, auth })
        }
        (None, Some(key)) => {
            if matches!(auth, Some(ClientAuth::Basic | ClientAuth::Post)) {
                findings.add(
                    key.referenced,
                    format!("{key_name} is for {auth_name} private_key_jwt only"),
                    format!("leave {auth_name} out, or write {secret_name}"),
                );
            }
            Some(ClientProof {
                secret: private_key(findings, key_name, key, dialect)?,
                auth: Some(ClientAuth::PrivateKeyJwt),
            })
        }
        (Some(_), Some(key)) => {
            findings.add(
                key.referenced,
                format!("{secret_name} and {key_name} are both there"),
                "a client authenticates in one way: leave one of them out",
            );
            None
        }
        (None, None) => {
            findings.add(
                place,
                format!("the client has neither {secret_name} nor {key_name}"),
                format!("add {secret_name}, or {key_name} for private_key_jwt"),
            );
            None
        }
    }
}

fn private_key(
    findings: &mut Findings,
    name: &str,
    raw: &Spanned<RawSecret>,
    dialect: Dialect,
) -> Option<SecretString> {
    let pem = findings.pem(name, raw)?;
    match ClientKey::read(&pem) {
        Ok(key) if dialect.needs_client_certificate() && !key.has_certificate() => {
            findings.add(
                raw.referenced,
                format!("{name} has no certificate, by which this issuer finds the key"),
                "put the certificate that is registered at the issuer into the same file, in PEM",
            );
            None
        }
        Ok(_) => Some(pem),
        Err(bad) => {
            findings.add(
                raw.referenced,
                format!("{name} {bad}"),
                "make a key as in `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`",
            );
            None
        }
    }
}
