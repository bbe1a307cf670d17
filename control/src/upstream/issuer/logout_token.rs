//! Logout tokens of OpenID Connect Back-Channel Logout 1.0, read without verifying the signature. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_protocol::json::{self, Json};

use super::token_type::is_media_type;

/// The member of `events` that makes a JWT a logout token.
pub const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How old a logout token may be, and how far its `iat` and `nbf` may lie ahead, in seconds.
pub const LONGEST_AGE_SECONDS: u64 = 300;

/// A logout token's claims (§2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// `iss`.
    pub issuer: String,
    /// `aud`, one string or a list.
    pub audiences: Vec<String>,
    /// Whose login ends.
    pub whose: LoggedOut,
    /// `jti`.
    pub id: String,
    /// `iat`, Unix seconds.
    pub issued_at_seconds: u64,
    /// `exp`, Unix seconds.
    pub exp_seconds: u64,
    /// `nbf`, Unix seconds.
    not_before_seconds: u64,
}

/// Whose login a logout token ends (§2.4: `sub`, `sid` or both; §2.7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoggedOut {
    /// Every session of the user `sub`.
    User(String),
    /// The one session `sid` at the issuer, of the user `sub` where the token names one.
    Session {
        /// `sid`.
        session_id: String,
        /// `sub`.
        subject: Option<String>,
    },
}

/// Why a token is not a current logout token. The message names a claim, never its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLogoutToken {
    /// Not a JWS with a JSON payload.
    #[error("logout_token must be one signed JWT")]
    NotJwt,
    /// JOSE `typ`, or Keycloak's payload `typ`.
    #[error("logout_token is another kind of token by its typ")]
    OtherType,
    /// A claim is missing, is duplicated or has the wrong JSON type.
    #[error("logout_token lacks a usable {0}")]
    Lacks(&'static str),
    /// §2.4: an ID token must never pass as a logout token.
    #[error("logout_token must not carry a nonce")]
    Nonce,
    /// §2.6: expired, too old, or in the future.
    #[error(
        "logout_token is not current: its exp is over, or its iat or nbf is more than {LONGEST_AGE_SECONDS} s away"
    )]
    NotCurrent,
}

impl LogoutToken {
    /// Reads a logout token.
    ///
    /// # Errors
    /// [`NotLogoutToken`].
    pub fn read(token: &str) -> Result<Self, NotLogoutToken> {
        let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
        let (Some(Ok(header)), Some(Ok(payload)), Some(Ok(_)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotLogoutToken::NotJwt);
        };
        let header = json::parse(&header).map_err(|_| NotLogoutToken::NotJwt)?;
        let payload = json::parse(&payload).map_err(|_| NotLogoutToken::NotJwt)?;
        is_of_a_logout_token(&header, &payload)?;
        let subject = text(&payload, "sub")?;
        let whose = match (text(&payload, "sid")?, subject) {
            (Some(session_id), subject) => LoggedOut::Session { session_id, subject },
            (None, Some(subject)) => LoggedOut::User(subject),
            (None, None) => return Err(NotLogoutToken::Lacks("sub or sid")),
        };
        Ok(Self {
            issuer: text(&payload, "iss")?.ok_or(NotLogoutToken::Lacks("iss"))?,
            audiences: audiences(&payload)?,
            whose,
            id: text(&payload, "jti")?.ok_or(NotLogoutToken::Lacks("jti"))?,
            issued_at_seconds: whole(&payload, "iat")?.ok_or(NotLogoutToken::Lacks("iat"))?,
            exp_seconds: whole(&payload, "exp")?.ok_or(NotLogoutToken::Lacks("exp"))?,
            not_before_seconds: whole(&payload, "nbf")?.unwrap_or(0),
        })
    }

    /// Whether the token may still end a login at `now_seconds` (§2.6).
    ///
    /// # Errors
    /// [`NotLogoutToken::NotCurrent`].
    pub fn is_current(&self, now_seconds: u64) -> Result<(), NotLogoutToken> {
        let is_over = self.exp_seconds <= now_seconds;
        let is_far = self.issued_at_seconds.abs_diff(now_seconds) > LONGEST_AGE_SECONDS;
        let is_early = self.not_before_seconds > now_seconds.saturating_add(LONGEST_AGE_SECONDS);
        if is_over || is_far || is_early {
            return Err(NotLogoutToken::NotCurrent);
        }
        Ok(())
    }
}

/// §2.4: `typ` should be `logout+jwt`; older issuers send `JWT` or none. Keycloak adds a payload `typ`.
fn is_of_a_logout_token(header: &Json<'_>, payload: &Json<'_>) -> Result<(), NotLogoutToken> {
    let is_header_type = |typ: &str| ["JWT", "logout+jwt"].iter().any(|name| is_media_type(typ, name));
    let other = NotLogoutToken::OtherType;
    match header.member("typ") {
        Ok(None) => {}
        Ok(Some(Json::Text(typ))) if is_header_type(typ) => {}
        _ => return Err(other),
    }
    match payload.member("typ") {
        Ok(None) => {}
        Ok(Some(Json::Text(typ))) if typ.eq_ignore_ascii_case("Logout") => {}
        _ => return Err(other),
    }
    if payload.member("nonce") != Ok(None) {
        return Err(NotLogoutToken::Nonce);
    }
    let events = payload.member("events").ok().flatten();
    let event = events.and_then(|events| events.member(LOGOUT_EVENT).ok().flatten());
    match event {
        Some(Json::Object(_)) => Ok(()),
        _ => Err(NotLogoutToken::Lacks("events member for a logout")),
    }
}

/// A string claim that is not empty, if present.
fn text(payload: &Json<'_>, name: &'static str) -> Result<Option<String>, NotLogoutToken> {
    match payload.member(name) {
        Ok(None) => Ok(None),
        Ok(Some(Json::Text(text))) if !text.is_empty() => Ok(Some(text.to_string())),
        _ => Err(NotLogoutToken::Lacks(name)),
    }
}

/// Seconds; a fraction, which an issuer may write (RFC 7519 §2), is dropped.
fn whole(payload: &Json<'_>, name: &'static str) -> Result<Option<u64>, NotLogoutToken> {
    let lacks = NotLogoutToken::Lacks(name);
    match payload.member(name) {
        Ok(None) => Ok(None),
        Ok(Some(Json::Number(digits))) => {
            let before_the_point = digits.split_once('.').map_or(*digits, |(whole, _)| whole);
            before_the_point.parse().map(Some).map_err(|_| lacks)
        }
        _ => Err(lacks),
    }
}

fn audiences(payload: &Json<'_>) -> Result<Vec<String>, NotLogoutToken> {
    let lacks = NotLogoutToken::Lacks("aud");
    match payload.member("aud") {
        Ok(Some(Json::Text(audience))) => Ok(vec![audience.to_string()]),
        Ok(Some(Json::List(items))) => {
            let texts: Option<_> = items
                .iter()
                .map(|item| item.as_text().map(str::to_owned))
                .collect();
            texts.ok_or(lacks)
        }
        _ => Err(lacks),
    }
}
