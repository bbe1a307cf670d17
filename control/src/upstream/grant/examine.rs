//! Whether the ID token of a refresh may replace the stored one.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::{Claims, Malformed};

use super::Inner;
use super::record::{GrantKey, GrantRecord, StoredIdToken};
use super::relayed::Origin;
use crate::digest;
use crate::upstream::failure::Failure;
use crate::upstream::issuer::HomeIssuer;
use crate::upstream::issuer::token_type::{IdTokenProfile, NotIdToken};
use crate::upstream::issuer::unverified::Unverified;
use crate::upstream::streak::StreakKind;

impl Inner {
    /// Checks by OIDC Core §12.2: the issuer, subject and audience of the login; an ID token that was issued to a
    /// trusted client. The signature is verified by the issuer's keys; if those are unavailable, the TLS connection to
    /// the token endpoint takes their place (§3.1.3.7, 6).
    ///
    /// # Errors
    /// [`StreakKind::Substituted`] for a token of another user, client or issuer; [`StreakKind::Unusable`] for one that
    /// cannot be read or verified here, which proves no substitution.
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
        let user = GrantKey::new(&claims.issuer, &config.client_id, &claims.subject);
        if !self.is_of_user(key, record, &user) {
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
            Ok(_) => {}
            // The user of such a login is known from this token alone.
            Err(Unverified::KeysUnavailable { .. } | Unverified::StoreUnavailable)
                if record.relayed.origin != Origin::Presented => {}
            Err(unverified) => {
                return Err(unverified.of_answer("the refreshed ID token").into());
            }
        }
        self.sealed_id_token(key, token, &claims)
            .map_err(|_| unusable("the refreshed ID token cannot be sealed"))
    }

    /// Whether the login of `record` is that of `user`. A login that is known by its refresh token alone is whose the first
    /// ID token states.
    fn is_of_user(&self, key: &GrantKey, record: &GrantRecord, user: &GrantKey) -> bool {
        if let Some((known, _)) = record.whose() {
            return user.digest() == known;
        }
        match &record.relayed.origin {
            Origin::Registered | Origin::Learned | Origin::Apart { .. } => user == key,
            Origin::Moved { user: known } => user.digest() == known,
            Origin::Presented => match self.user_of(key, record) {
                Ok(known) => known.is_none_or(|known| known == *user),
                Err(_) => false,
            },
        }
    }
}

/// Logs an ALARM for a substituted token only: one that cannot be verified or read is no attack.
pub(super) fn log_rejected(key: &GrantKey, issuer: &HomeIssuer, failure: &Failure) {
    let (grant, issuer) = (digest::short(key.digest()), &issuer.config.issuer);
    let cause = failure.cause.as_str();
    if failure.kind == StreakKind::Substituted {
        tracing::error!(
            grant,
            issuer,
            cause,
            "ALARM: the issuer answered a refresh with a token of another user, client or issuer; the old ID token \
             stays in use"
        );
    } else {
        tracing::debug!(
            grant,
            issuer,
            cause,
            "the refreshed ID token cannot be used; the refresh token of the same answer is stored"
        );
    }
}

fn substituted(cause: &str) -> Failure {
    Failure::new(StreakKind::Substituted, cause)
}

/// An unreadable token proves no substitution.
fn unreadable(text: &str, why: Malformed) -> Failure {
    let unverified = Unverified::Malformed(why).of_answer("the refreshed ID token");
    unusable(format!("{} ({} bytes)", unverified.cause, text.len()))
}

fn unusable(cause: impl Into<String>) -> Failure {
    Failure::new(StreakKind::Unusable, cause)
}

/// Checks that `text` is an ID token, issued to a trusted client, and already valid. Only another client's token can be
/// a substitution: another kind of token, or a clock that is ahead, is a mistake of the issuer.
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
