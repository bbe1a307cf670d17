//! Access tokens of upstream issuers, as their client sees them: opaque (RFC 6749 §1.4), and JWTs at many issuers (RFC 9068).
//!
//! Nothing is verified here: the token is for a server or for another issuer, which verifies it. What is read decides how long
//! it is used, and whether it is one of the login that it came with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::upstream::dialect::Dialect;
use crate::upstream::dialect::rules::AccessTokenUser;

/// Longest access token that is kept, in bytes: the largest that a gateway lets through.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 60 * 1024;

/// An access token as it was received.
#[derive(Debug, Clone)]
pub struct GivenAccessToken {
    /// The token.
    pub token: SecretString,
    /// Seconds that it lives from then on; `None`: not stated.
    pub expires_in_seconds: Option<u64>,
}

/// Why an access token is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitAccessToken {
    /// No bearer token (RFC 6750 §2.1).
    #[error("it is not a bearer token: letters, digits and -._~+/ only, with = at the end")]
    NotBearer,
    /// Longer than [`MAX_ACCESS_TOKEN_BYTES`].
    #[error("it is longer than {MAX_ACCESS_TOKEN_BYTES} bytes")]
    TooLong,
    /// Signed by another issuer than the login's, or by our own authorization server.
    #[error(
        "its iss is not the issuer of the login: register the access token of the same response as the ID token"
    )]
    OtherIssuer,
    /// It names another user than the ID token.
    #[error(
        "it is of another user than the ID token: register the access token of the same response, or none"
    )]
    OtherUser,
}

/// The claims of an access token that is a JWT.
#[derive(Debug)]
pub struct AccessTokenJwt(Map<String, Value>);

impl AccessTokenJwt {
    /// The claims of `token`; `None` for an opaque token.
    #[must_use]
    pub fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (Some(_), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        serde_json::from_slice(&payload).ok().map(Self)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A time, Unix seconds (RFC 7519 §2, NumericDate).
    fn seconds(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        let is_second = |seconds: &f64| (0.0..1e11).contains(seconds);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within the bounds above"
        )]
        let whole = |seconds: f64| seconds as u64;
        value
            .as_u64()
            .or_else(|| value.as_f64().filter(is_second).map(whole))
    }

    /// `exp`, Unix seconds.
    #[must_use]
    pub fn exp_seconds(&self) -> Option<u64> {
        self.seconds("exp")
    }

    /// `iat`, Unix seconds.
    #[must_use]
    pub fn issued_at_seconds(&self) -> Option<u64> {
        self.seconds("iat")
    }

    /// `aud`, a text or a list.
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        match self.0.get("aud") {
            Some(Value::String(audience)) => vec![audience.clone()],
            Some(Value::Array(audiences)) => {
                let texts = audiences.iter().filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Checks that it is of the user `subject` (`sub` of the ID token) at `issuer`, as far as its kind of issuer states that.
    fn check_user(&self, issuer: &str, subject: &str, dialect: Dialect) -> Result<(), UnfitAccessToken> {
        let member = match dialect.access_token_user() {
            AccessTokenUser::Unstated => return Ok(()),
            AccessTokenUser::Subject => "sub",
            AccessTokenUser::Member(member) => member,
        };
        if self.text("iss") != Some(issuer) {
            return Err(UnfitAccessToken::OtherIssuer);
        }
        match self.text(member) {
            Some(user) if user != subject => Err(UnfitAccessToken::OtherUser),
            _ => Ok(()),
        }
    }
}

/// What is known of an access token without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokenLife {
    /// When it expires, Unix seconds: its `exp`, else by the `expires_in` that came with it, else as the ID token that it came
    /// with.
    pub exp_seconds: u64,
    /// When it was issued, Unix seconds: its `iat`, else when it was received.
    pub issued_at_seconds: u64,
    /// `aud`, if it is a JWT.
    pub audiences: Vec<String>,
}

impl GivenAccessToken {
    /// Whether it can be sent as a bearer token.
    ///
    /// # Errors
    /// [`UnfitAccessToken::NotBearer`], [`UnfitAccessToken::TooLong`].
    pub fn check_form(&self) -> Result<(), UnfitAccessToken> {
        let token = self.token.expose_secret();
        let is_letter = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
        };
        let letters = token.trim_end_matches('=');
        if letters.is_empty() || !letters.bytes().all(is_letter) {
            return Err(UnfitAccessToken::NotBearer);
        }
        if token.len() > MAX_ACCESS_TOKEN_BYTES {
            return Err(UnfitAccessToken::TooLong);
        }
        Ok(())
    }

    /// Whether it is an access token of the login of `subject` at `issuer`, as far as can be read. `own_issuer` is our own
    /// authorization server, whose tokens never leave the gateway.
    ///
    /// # Errors
    /// [`UnfitAccessToken`].
    pub fn check_login(
        &self,
        (issuer, subject): (&str, &str),
        dialect: Dialect,
        own_issuer: Option<&str>,
    ) -> Result<(), UnfitAccessToken> {
        self.check_form()?;
        let Some(jwt) = AccessTokenJwt::read(self.token.expose_secret()) else {
            return Ok(());
        };
        if own_issuer.is_some() && jwt.text("iss") == own_issuer {
            return Err(UnfitAccessToken::OtherIssuer);
        }
        jwt.check_user(issuer, subject, dialect)
    }

    /// Its life, received at `now_ms` beside an ID token that expires at `id_token_exp_seconds`.
    #[must_use]
    pub fn life(&self, id_token_exp_seconds: u64, now_ms: u64) -> AccessTokenLife {
        let now_seconds = now_ms / 1000;
        let jwt = AccessTokenJwt::read(self.token.expose_secret());
        let stated = self
            .expires_in_seconds
            .map(|life| now_seconds.saturating_add(life));
        let exp_seconds = jwt.as_ref().and_then(AccessTokenJwt::exp_seconds).or(stated);
        let issued_at_seconds = jwt.as_ref().and_then(AccessTokenJwt::issued_at_seconds);
        AccessTokenLife {
            exp_seconds: exp_seconds.unwrap_or(id_token_exp_seconds),
            issued_at_seconds: issued_at_seconds.unwrap_or(now_seconds),
            audiences: jwt.map_or_else(Vec::new, |jwt| jwt.audiences()),
        }
    }
}
