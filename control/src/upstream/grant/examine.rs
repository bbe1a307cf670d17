//! Whether the ID token of a refresh is the one that may take the old one's place.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::{Claims, Malformed};

use super::Inner;
use super::record::{GrantKey, GrantRecord, StoredIdToken};
use crate::digest;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};
use crate::upstream::issuer::unverified::Unverified;
use crate::upstream::streak::StreakKind;

impl Inner {
    /// OIDC Core §12.2: the same issuer and subject, and the audience of the login; an ID token, issued to a client that is
    /// trusted with it. Signature: by the issuer's keys;
    /// where those cannot be had, the TLS connection to the token endpoint stands for it (§3.1.3.7, 6).
    ///
    /// # Errors
    /// [`StreakKind::Substituted`] for a token that is plainly another's, [`StreakKind::Unusable`] for one of which nothing
    /// is known because it cannot be read or verified here: nothing was substituted then.
    pub(super) async fn examine(
        &self,
        key: &GrantKey,
        issuer: &HomeIssuer,
        record: &GrantRecord,
        token: &SecretString,
    ) -> Result<StoredIdToken, Failure> {
        let text = token.expose_secret();
        let claims = Claims::read(text.as_bytes()).map_err(|why| unreadable(text, why))?;
        let config = &issuer.config;
        if claims.issuer != config.issuer {
            return Err(substituted("another issuer"));
        }
        if GrantKey::new(&claims.issuer, &config.client_id, &claims.subject) != *key {
            return Err(substituted("another subject"));
        }
        let before = record
            .id_token
            .as_ref()
            .map_or(&[][..], |stored| &stored.audiences);
        if !claims.audiences.contains(&config.client_id) || !claims.covers_audiences(before) {
            return Err(substituted("another audience"));
        }
        let now_ms = self.context.clock.now_ms();
        is_our_id_token(text, issuer, now_ms)?;
        match issuer.keys.verify_answer(text).await {
            Ok(_) | Err(Unverified::KeysUnavailable { .. } | Unverified::StoreUnavailable) => {}
            Err(unverified) => {
                return Err(unverified.of_answer("the refreshed ID token").into());
            }
        }
        self.sealed_id_token(key, token, &claims)
            .map_err(|_| unusable("the refreshed ID token cannot be sealed"))
    }
}

/// An alarm is for a token that is another's; one that cannot be verified or read is no attack.
pub(super) fn log_rejected(key: &GrantKey, issuer: &HomeIssuer, failure: &Failure) {
    let (grant, issuer) = (digest::short(key.digest()), &issuer.config.issuer);
    let cause = failure.cause.as_str();
    if failure.kind == StreakKind::Substituted {
        tracing::error!(
            grant,
            issuer,
            cause,
            "ALARM: the issuer answered a refresh with another's token; the old ID token is stored"
        );
    } else {
        tracing::debug!(
            grant,
            issuer,
            cause,
            "the refreshed ID token cannot be used; the refresh token that came with it is stored"
        );
    }
}

fn substituted(cause: &str) -> Failure {
    Failure::new(StreakKind::Substituted, cause)
}

/// Not to be read is not to be another's.
fn unreadable(text: &str, why: Malformed) -> Failure {
    let unverified = Unverified::Malformed(why).of_answer("the refreshed ID token");
    unusable(format!("{} ({} bytes)", unverified.cause, text.len()))
}

fn unusable(cause: impl Into<String>) -> Failure {
    Failure::new(StreakKind::Unusable, cause)
}

/// An ID token that was issued to a client that is trusted with it, and counts already. Only another client's token may be
/// a substitution: another kind of token, or a clock that runs ahead, is the issuer's mistake.
fn is_our_id_token(text: &str, issuer: &HomeIssuer, now_ms: u64) -> Result<(), Failure> {
    let judged = IdTokenProfile::read(text).and_then(|profile| {
        profile.is_issued_to(|party| issuer.config.trusts(party))?;
        profile.has_begun(now_ms)
    });
    judged.map_err(|not_id_token| match not_id_token {
        NotIdToken::OtherClient(_) => substituted("a token of another client"),
        NotIdToken::Early(_) => Failure::new(
            StreakKind::Unreachable,
            format!("the refreshed ID token cannot be used yet: {not_id_token}"),
        ),
        other => unusable(format!("the refreshed token is not an ID token: {other}")),
    })
}
