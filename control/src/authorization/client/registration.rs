//! Dynamic client registration (RFC 7591) without a store: the `client_id` is the registration, sealed with the key ring.
//!
//! RFC 7591 Appendix A.5.2 allows a `client_id` that contains the client's metadata. A flood of registrations stores nothing,
//! no registration is evicted that a client still uses, and every replica with the same sealing keys opens it. In exchange a
//! registration ends by age, by `not_before`, or with its sealing key, never one by one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokenward_protocol::json::{self, Json};

use super::{Client, ClientAuthentication, ClientKind, MAX_NAME_CHARACTERS, shown_name};
use crate::config::redirect_uri::{BadRedirectUri, RedirectUri};
use crate::config::{ClientsConfig, REGISTERED_CLIENT_PREFIX};
use crate::record::keyring::{KeyRing, SealError};

/// What every registered `client_id` begins with.
pub const PREFIX: &str = REGISTERED_CLIENT_PREFIX;
/// Redirect URIs in one registration.
pub const MAX_REDIRECT_URIS: usize = 10;
/// The longest registered `client_id`, in bytes: clients send it in a URL.
pub const MAX_CLIENT_ID_BYTES: usize = 2048;
/// The name of a client that states none.
const UNNAMED: &str = "Unnamed client";
/// Version of [`Sealed`].
const FORMAT: u8 = 1;

/// Why a registration is refused (RFC 7591 §3.2.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRegistration {
    /// Not a JSON object, or a member that matters occurs twice.
    #[error("the body is not a JSON object in which each member occurs once")]
    NotAnObject,
    /// `redirect_uris` is no list of at most [`MAX_REDIRECT_URIS`] texts.
    #[error("redirect_uris must be a list of 1 to {MAX_REDIRECT_URIS} strings")]
    RedirectUris,
    /// None of the redirect URIs is accepted; why the first is not.
    #[error("no redirect URI is accepted; the first: {0}")]
    NoRedirectUri(BadRedirectUri),
    /// `client_name` is no text of at most [`MAX_NAME_CHARACTERS`] characters.
    #[error("client_name must be a string of at most {MAX_NAME_CHARACTERS} characters")]
    Name,
    /// `grant_types` or `response_types` leaves out what a login needs.
    #[error("grant_types must contain authorization_code, and response_types code")]
    Grants,
    /// The sealed `client_id` would be longer than [`MAX_CLIENT_ID_BYTES`].
    #[error("redirect_uris and client_name are too long together: the client_id contains them")]
    TooLong,
}

/// Why a registered `client_id` is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRegistered {
    /// Registration is off.
    #[error("clients cannot register here")]
    Off,
    /// It does not open: it was made or changed elsewhere, or its sealing key is gone.
    #[error("this client_id was not issued here, or its sealing key is no longer configured")]
    NotOurs,
    /// None of its redirect URIs is accepted any more.
    #[error("none of this client's redirect URIs is accepted any more; register again")]
    Redirects,
    /// It is older than `clients.registration.lifetime`, or of before `not_before`.
    #[error("this registration has ended; register again")]
    Ended,
}

/// What a client requests to register, as far as it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The accepted redirect URIs, in their order.
    pub redirect_uris: Vec<String>,
    /// `client_name` as shown; empty if none was stated.
    pub name: String,
}

/// A `client_id` that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The `client_id`.
    pub client_id: String,
    /// `client_id_issued_at`, Unix seconds.
    pub at_seconds: u64,
}

/// What a registered `client_id` contains.
#[derive(Serialize, Deserialize)]
struct Sealed {
    format: u8,
    issued_at_seconds: u64,
    name: String,
    redirect_uris: Vec<String>,
}

impl Registration {
    /// Reads the body of a registration request. Of its redirect URIs the acceptable ones remain (RFC 7591 §3.2.1 lets the
    /// server replace values): Cursor registers three at once, of which an installation may accept two. Members without a
    /// meaning here are ignored; so is a requested authentication method, because every registered client is public.
    ///
    /// # Errors
    /// [`BadRegistration`].
    pub fn read(body: &[u8], private_use: &[String]) -> Result<Self, BadRegistration> {
        let document = json::parse(body).map_err(|_| BadRegistration::NotAnObject)?;
        if !matches!(document, Json::Object(_)) {
            return Err(BadRegistration::NotAnObject);
        }
        let member = |name: &str| {
            let member = document.member(name).map_err(|_| BadRegistration::NotAnObject)?;
            Ok(member.filter(|value| **value != Json::Null))
        };
        let allows = |name: &str, needed: &str| match member(name)? {
            None => Ok(()),
            Some(Json::List(values)) if values.iter().any(|value| value.as_text() == Some(needed)) => Ok(()),
            Some(_) => Err(BadRegistration::Grants),
        };
        allows("grant_types", "authorization_code")?;
        allows("response_types", "code")?;
        let name = match member("client_name")? {
            None => String::new(),
            Some(name) => name
                .as_text()
                .and_then(|name| shown_name(name).ok())
                .ok_or(BadRegistration::Name)?,
        };
        let Some(Json::List(uris)) = member("redirect_uris")? else {
            return Err(BadRegistration::RedirectUris);
        };
        Ok(Self {
            redirect_uris: accepted(uris, private_use)?,
            name,
        })
    }

    /// Issues the `client_id` of this registration, for the authorization server `issuer`.
    ///
    /// # Errors
    /// [`RegistrationFailed`].
    pub fn seal(&self, ring: &KeyRing, issuer: &str, now_ms: u64) -> Result<Issued, RegistrationFailed> {
        let at_seconds = now_ms / 1000;
        let sealed = Sealed {
            format: FORMAT,
            issued_at_seconds: at_seconds,
            name: self.name.clone(),
            redirect_uris: self.redirect_uris.clone(),
        };
        // Plain data always serializes; an empty text would not open.
        let plain = postcard::to_allocvec(&sealed).unwrap_or_default();
        let bytes = ring.seal(&bound_to(issuer), &plain)?;
        let client_id = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        if client_id.len() > MAX_CLIENT_ID_BYTES {
            return Err(BadRegistration::TooLong.into());
        }
        Ok(Issued {
            client_id,
            at_seconds,
        })
    }
}

/// A registration got no `client_id`.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationFailed {
    /// The request is at fault.
    #[error(transparent)]
    Bad(#[from] BadRegistration),
    /// Nothing can be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Opens a registered `client_id`.
///
/// # Errors
/// [`NotRegistered`].
pub fn open(
    client_id: &str,
    ring: &KeyRing,
    issuer: &str,
    config: &ClientsConfig,
    now_ms: u64,
) -> Result<Client, NotRegistered> {
    let ClientsConfig {
        registration,
        private_use_redirects,
        ..
    } = config;
    if !registration.enabled {
        return Err(NotRegistered::Off);
    }
    if client_id.len() > MAX_CLIENT_ID_BYTES {
        return Err(NotRegistered::NotOurs);
    }
    let encoded = client_id.strip_prefix(PREFIX).ok_or(NotRegistered::NotOurs)?;
    let bytes = URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| NotRegistered::NotOurs)?;
    let plain = ring
        .open(&bound_to(issuer), &bytes)
        .map_err(|_| NotRegistered::NotOurs)?;
    let sealed: Sealed = postcard::from_bytes(plain.expose_secret()).map_err(|_| NotRegistered::NotOurs)?;
    if sealed.format != FORMAT {
        return Err(NotRegistered::NotOurs);
    }
    let age = Duration::from_millis(now_ms).saturating_sub(Duration::from_secs(sealed.issued_at_seconds));
    if age > registration.lifetime || sealed.issued_at_seconds < registration.not_before_seconds {
        return Err(NotRegistered::Ended);
    }
    let mut redirect_uris = sealed.redirect_uris;
    // The configuration may have changed since.
    redirect_uris.retain(|uri| RedirectUri::read(uri, private_use_redirects).is_ok());
    if redirect_uris.is_empty() {
        return Err(NotRegistered::Redirects);
    }
    Ok(Client {
        id: client_id.to_owned(),
        name: if sealed.name.is_empty() {
            UNNAMED.to_owned()
        } else {
            sealed.name
        },
        kind: ClientKind::Registered,
        redirect_uris,
        authentication: ClientAuthentication::None,
    })
}

/// The associated data of a registration: it opens at the issuer that it was made at, and nowhere else in the store's records.
fn bound_to(issuer: &str) -> String {
    format!("registered_client#{issuer}")
}

/// The acceptable ones of `uris`, each once.
fn accepted(uris: &[Json<'_>], private_use: &[String]) -> Result<Vec<String>, BadRegistration> {
    if uris.len() > MAX_REDIRECT_URIS {
        return Err(BadRegistration::RedirectUris);
    }
    let mut accepted: Vec<String> = Vec::new();
    let mut first_fault = None;
    for uri in uris {
        let uri = uri.as_text().ok_or(BadRegistration::RedirectUris)?;
        match RedirectUri::read(uri, private_use) {
            Ok(_) if accepted.iter().any(|known| known == uri) => {}
            Ok(_) => accepted.push(uri.to_owned()),
            Err(bad) => first_fault = first_fault.or(Some(bad)),
        }
    }
    match (accepted.is_empty(), first_fault) {
        (false, _) => Ok(accepted),
        (true, Some(bad)) => Err(BadRegistration::NoRedirectUri(bad)),
        (true, None) => Err(BadRegistration::RedirectUris),
    }
}
