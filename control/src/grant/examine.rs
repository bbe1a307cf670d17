//! Whether the ID token of a refresh is the one that may take the old one's place.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::{Claims, Malformed};

use super::Inner;
use super::attempt::Failure;
use super::record::{GrantKey, GrantRecord, KeptIdToken};
use crate::issuer::HomeIssuer;
use crate::issuer::keys::{KeyAge, Unverified};
use crate::issuer::verify::read_header;
use crate::streak::StreakKind;

impl Inner {
    /// OIDC Core §12.2: the same issuer and subject, and the audience of the login. Signature: by the issuer's keys;
    /// where those cannot be had, the TLS connection to the token endpoint stands for it (§3.1.3.7, 6).
    ///
    /// # Errors
    /// [`StreakKind::Substituted`] for a token that is plainly another's, [`StreakKind::Unusable`] for one of which nothing
    /// is known because it cannot be read or verified here: nobody has substituted anything then.
    pub(super) async fn examined(
        &self,
        key: &GrantKey,
        issuer: &HomeIssuer,
        record: &GrantRecord,
        token: &SecretString,
    ) -> Result<KeptIdToken, Failure> {
        let text = token.expose_secret();
        let claims = Claims::read(text.as_bytes()).map_err(|malformed| unreadable(malformed, text.len()))?;
        let config = &issuer.config;
        if claims.issuer != config.issuer {
            return Err(substituted("another issuer"));
        }
        if GrantKey::new(&claims.issuer, &config.client_id, &claims.subject) != *key {
            return Err(substituted("another subject"));
        }
        let before = record.id_token.as_ref().map_or(&[][..], |kept| &kept.audiences);
        if !claims.audiences.contains(&config.client_id) || !claims.covers_audiences(before) {
            return Err(substituted("another audience"));
        }
        if read_header(text).is_none() {
            return Err(unusable(
                "the issuer's new ID token is signed with an algorithm that is not accepted: let the issuer sign this \
                 client's ID tokens with RS256, ES256 or another asymmetric algorithm",
            ));
        }
        match issuer.keys.verify(text, KeyAge::Present).await {
            Ok(_) | Err(Unverified::KeysUnavailable { .. } | Unverified::StoreUnavailable) => {}
            Err(Unverified::Forged | Unverified::Malformed) => {
                return Err(substituted("not signed by the issuer's keys"));
            }
        }
        self.sealed_id_token(key, token, &claims)
            .map_err(|_| unusable("the new ID token cannot be sealed"))
    }
}

fn substituted(cause: &str) -> Failure {
    Failure {
        kind: StreakKind::Substituted,
        asked: None,
        cause: cause.to_owned(),
    }
}

fn unusable(cause: impl Into<String>) -> Failure {
    Failure {
        kind: StreakKind::Unusable,
        asked: None,
        cause: cause.into(),
    }
}

fn unreadable(malformed: Malformed, bytes: usize) -> Failure {
    let cure = match malformed {
        Malformed::TooLong => ": let the issuer put fewer claims (groups) into this client's tokens",
        _ => ": no other reader would take it for an ID token either; look at the issuer",
    };
    unusable(format!(
        "the issuer's new ID token of {bytes} bytes cannot be read, {malformed}{cure}"
    ))
}
