//! The kind of a JWT and the client to which it was issued. An issuer signs access tokens, logout tokens and other clients'
//! ID tokens with the same keys as the configured client's ID tokens, so a valid signature alone is not enough (RFC 8725
//! §3.11, §3.12). Pure.

mod access_token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_protocol::json::{self, Json};

pub use self::access_token::AccessTokenProfile;

/// How far `iat` may lie ahead of control's clock, in seconds.
pub const ISSUED_AT_LEEWAY_SECONDS: u64 = 300;
/// How far `nbf` may lie ahead of control's clock, in seconds: the clock difference that the documentation allows. `nbf` is
/// a restriction that the issuer sets on purpose, while `iat` is only a reading of its own clock.
pub const NOT_BEFORE_LEEWAY_SECONDS: u64 = 60;
/// How much of a claim's value an error repeats, in characters.
const SHOWN_CHARACTERS: usize = 80;

/// A token's claims beyond those that every ID token has. Nothing is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdTokenProfile {
    /// The client that the token was issued to: `azp`, or `appid` as Entra's v1 access tokens call it.
    pub authorized_party: Option<String>,
    /// `nbf`, Unix seconds, rounded up.
    pub not_before_seconds: Option<u64>,
    /// `iat`, Unix seconds, rounded down.
    pub issued_at_seconds: Option<u64>,
    /// `sid`, the session at the issuer (OIDC Back-Channel Logout §2.1).
    pub session_id: Option<String>,
}

/// Why a token is not accepted as one of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotIdToken {
    /// Header or payload cannot be read, or a claim is duplicated or has the wrong JSON type.
    #[error("its claim {0} cannot be read")]
    Unreadable(&'static str),
    /// JOSE `typ` (RFC 7515 §4.1.9).
    #[error("its header's typ is {0:?}: that is another kind of token")]
    HeaderType(String),
    /// Keycloak's payload `typ`.
    #[error("its claim typ is {0:?}: that is another kind of token")]
    PayloadType(String),
    /// Cognito's `token_use`.
    #[error("its claim token_use is {0:?}: that is another kind of token")]
    TokenUse(String),
    /// RFC 8417: a security event token, usually a logout token.
    #[error("it carries events: it is a logout or security event token")]
    Events,
    /// RFC 7800: the presenter must prove possession of a key, which a gateway that forwards the token cannot do.
    #[error("it is bound to a key of its holder (cnf), so only the holder may present it")]
    SenderConstrained,
    /// Microsoft's marker of a token that only its own resource can verify.
    #[error(
        "its header has a nonce: only the server that it is for can verify its signature; set verify: expires_in"
    )]
    ForItsServerOnly,
    /// Issued to a client that is not configured (OIDC Core §3.1.3.7).
    #[error(
        "it was issued to the client {0:?} (azp), which is not configured for this issuer; where that client is \
         trusted with this login, name it in issuers[].trusted_peers"
    )]
    OtherClient(String),
    /// `nbf` or `iat` lies too far in the future.
    #[error("its {0} is too far ahead of this clock; compare the issuer's clock and control's")]
    Early(&'static str),
}

impl IdTokenProfile {
    /// Reads the profile of a compact JWS.
    ///
    /// # Errors
    /// [`NotIdToken`] for another kind of token.
    pub fn read(token: &str) -> Result<Self, NotIdToken> {
        let (header, payload) = decoded(token)?;
        let header = json::parse(&header).map_err(|_| NotIdToken::Unreadable("typ"))?;
        let payload = json::parse(&payload).map_err(|_| NotIdToken::Unreadable("set"))?;
        if let Some(typ) = text(&header, "typ")?
            && !is_media_type(typ, "JWT")
        {
            return Err(NotIdToken::HeaderType(shown(typ)));
        }
        is_of_an_id_token(&payload)?;
        Ok(Self {
            authorized_party: authorized_party(&payload)?,
            not_before_seconds: seconds(&payload, "nbf")?.map(rounded_up),
            issued_at_seconds: seconds(&payload, "iat")?.map(rounded_down),
            session_id: text(&payload, "sid").ok().flatten().map(str::to_owned),
        })
    }

    /// Whether the token was issued to a client that `is_trusted`. A token without `azp` names no client: its audiences are
    /// checked elsewhere, and one with several is accepted (OIDC Core §3.1.3.7 does not require `azp` then).
    ///
    /// # Errors
    /// [`NotIdToken::OtherClient`].
    pub fn is_issued_to(&self, is_trusted: impl Fn(&str) -> bool) -> Result<(), NotIdToken> {
        match &self.authorized_party {
            Some(party) if !is_trusted(party) => Err(NotIdToken::OtherClient(shown(party))),
            _ => Ok(()),
        }
    }

    /// Whether the token is already valid at `now_ms` (RFC 7519 §4.1.5, §4.1.6).
    ///
    /// # Errors
    /// [`NotIdToken::Early`].
    pub fn has_begun(&self, now_ms: u64) -> Result<(), NotIdToken> {
        let is_ahead = |moment: Option<u64>, leeway_seconds: u64| {
            let latest_seconds = (now_ms / 1000).saturating_add(leeway_seconds);
            moment.is_some_and(|seconds| seconds > latest_seconds)
        };
        if is_ahead(self.not_before_seconds, NOT_BEFORE_LEEWAY_SECONDS) {
            return Err(NotIdToken::Early("nbf"));
        }
        if is_ahead(self.issued_at_seconds, ISSUED_AT_LEEWAY_SECONDS) {
            return Err(NotIdToken::Early("iat"));
        }
        Ok(())
    }
}

/// Header and payload of a compact JWS.
fn decoded(token: &str) -> Result<(Vec<u8>, Vec<u8>), NotIdToken> {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    match (parts.next(), parts.next()) {
        (Some(Ok(header)), Some(Ok(payload))) => Ok((header, payload)),
        _ => Err(NotIdToken::Unreadable("set")),
    }
}

/// Whether the JOSE `typ` is the media type `name`: without `application/` (RFC 7515 §4.1.9), in any letter case.
#[must_use]
pub fn is_media_type(typ: &str, name: &str) -> bool {
    let (prefix, rest) = typ.split_once('/').unwrap_or(("application", typ));
    prefix.eq_ignore_ascii_case("application") && rest.eq_ignore_ascii_case(name)
}

fn is_of_an_id_token(payload: &Json<'_>) -> Result<(), NotIdToken> {
    if let Some(kind) = text(payload, "typ")?
        && !kind.eq_ignore_ascii_case("ID")
    {
        return Err(NotIdToken::PayloadType(shown(kind)));
    }
    if let Some(usage) = text(payload, "token_use")?
        && !usage.eq_ignore_ascii_case("id")
    {
        return Err(NotIdToken::TokenUse(shown(usage)));
    }
    is_for_any_bearer(payload)
}

/// Whether any bearer may present the token, and it is a token of a user.
fn is_for_any_bearer(payload: &Json<'_>) -> Result<(), NotIdToken> {
    if member(payload, "events")?.is_some() {
        return Err(NotIdToken::Events);
    }
    if member(payload, "cnf")?.is_some() {
        return Err(NotIdToken::SenderConstrained);
    }
    Ok(())
}

fn authorized_party(payload: &Json<'_>) -> Result<Option<String>, NotIdToken> {
    let party = match text(payload, "azp")? {
        Some(party) => Some(party),
        None => text(payload, "appid")?,
    };
    Ok(party.map(str::to_owned))
}

fn member<'a>(object: &'a Json<'_>, name: &'static str) -> Result<Option<&'a Json<'a>>, NotIdToken> {
    object.member(name).map_err(|_| NotIdToken::Unreadable(name))
}

/// A string claim, if present; one of another JSON type is an error, not absent.
fn text<'a>(object: &'a Json<'_>, name: &'static str) -> Result<Option<&'a str>, NotIdToken> {
    match member(object, name)? {
        None => Ok(None),
        Some(value) => value.as_text().map(Some).ok_or(NotIdToken::Unreadable(name)),
    }
}

/// RFC 7519 §2: a NumericDate may have a fraction.
fn seconds(object: &Json<'_>, name: &'static str) -> Result<Option<f64>, NotIdToken> {
    match member(object, name)? {
        None => Ok(None),
        Some(Json::Number(digits)) => match digits.parse::<f64>() {
            Ok(moment) if moment.is_finite() => Ok(Some(moment)),
            _ => Err(NotIdToken::Unreadable(name)),
        },
        Some(_) => Err(NotIdToken::Unreadable(name)),
    }
}

// A cast from a float saturates: a time before 1970 becomes 0, one beyond `u64` its largest value.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn rounded_up(moment: f64) -> u64 {
    moment.ceil() as u64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates"
)]
fn rounded_down(moment: f64) -> u64 {
    moment.floor() as u64
}

/// A claim's value as an error repeats it.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}
