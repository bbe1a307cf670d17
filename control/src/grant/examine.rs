//! Whether the ID token of a refresh is the one that may take the old one's place.

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::jwt::Claims;

use super::Inner;
use super::record::{GrantKey, GrantRecord, KeptIdToken};
use crate::issuer::HomeIssuer;
use crate::issuer::keys::{KeyAge, Unverified};
use crate::issuer::token_type::IdTokenProfile;

impl Inner {
    /// OIDC Core §12.2: the same issuer and subject, and the audience of the login; an ID token, issued to a client that is
    /// trusted with it. Signature: by the issuer's keys;
    /// where those cannot be had, the TLS connection to the token endpoint stands for it (§3.1.3.7, 6).
    pub(super) async fn examined(
        &self,
        key: &GrantKey,
        issuer: &HomeIssuer,
        record: &GrantRecord,
        token: &SecretString,
    ) -> Result<KeptIdToken, &'static str> {
        let text = token.expose_secret();
        let claims = Claims::read(text.as_bytes()).map_err(|_| "not a JWT with iss, sub, aud and exp")?;
        let config = &issuer.config;
        if claims.issuer != config.issuer {
            return Err("another issuer");
        }
        if GrantKey::new(&claims.issuer, &config.client_id, &claims.subject) != *key {
            return Err("another subject");
        }
        let before = record.id_token.as_ref().map_or(&[][..], |kept| &kept.audiences);
        if !claims.audiences.contains(&config.client_id) || !claims.covers_audiences(before) {
            return Err("another audience");
        }
        let profile = IdTokenProfile::read(text).map_err(|_| "another kind of token")?;
        let for_us = profile.is_issued_to(|party| config.trusts(party));
        for_us.map_err(|_| "a token of another client")?;
        let begun = profile.has_begun(self.context.clock.now_ms());
        begun.map_err(|_| "a token from the future")?;
        match issuer.keys.verify(text, KeyAge::Present).await {
            Ok(_) | Err(Unverified::KeysUnavailable { .. } | Unverified::StoreUnavailable) => {}
            Err(Unverified::Forged | Unverified::Malformed) => return Err("not signed by the issuer's keys"),
        }
        self.sealed_id_token(key, token, &claims)
            .map_err(|_| "it cannot be sealed")
    }
}
