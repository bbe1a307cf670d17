//! MCP clients: which programs may request a token, in the order configured, by metadata document, registered.
//!
//! A client is public unless it has published keys: any program can claim its `client_id`. What protects the user is where the
//! code is sent, so the redirect URIs decide what a client is ([`RedirectUri`]), and the consent page names the hosts.

pub mod assertion;
mod clients;
mod error;
pub mod metadata_document;
mod proof;
pub mod registration;

pub use clients::{Clients, PresentedClient};
pub use error::ClientError;

pub use crate::config::redirect_uri;

use serde::{Deserialize, Serialize};

use crate::config::redirect_uri::RedirectUri;
use crate::digest::hex_of_parts;

/// The longest name of a client, in characters.
pub const MAX_NAME_CHARACTERS: usize = 256;

/// How a client became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// It is in the configuration.
    Configured,
    /// Its `client_id` is the URL of its metadata document.
    MetadataDocument,
    /// It registered itself.
    Registered,
}

/// How a client proves itself at the token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// Not at all: a public client (`none`).
    None,
    /// By assertions that its keys sign (`private_key_jwt`).
    PrivateKeyJwt {
        /// Where its public keys are.
        keys: ClientKeys,
        /// Whether it must; `false` for one that states `none` as well.
        required: bool,
    },
}

/// The public keys of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKeys {
    /// A JWK set (JSON).
    Inline(String),
    /// The URL of one.
    At(String),
}

/// The method of [`ClientAuthentication`] without the keys, which a client may replace during a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthenticationMethod {
    /// `none`.
    None,
    /// `private_key_jwt`.
    PrivateKeyJwt,
    /// `private_key_jwt` or `none`.
    PrivateKeyJwtOrNone,
}

impl AuthenticationMethod {
    /// Its name for digests.
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::PrivateKeyJwtOrNone => "private_key_jwt none",
        }
    }
}

/// A client that may request a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// What it calls itself, without control characters; any text can stand there.
    pub name: String,
    /// How it became known.
    pub kind: ClientKind,
    /// Where codes may be sent: at least one, each accepted by [`RedirectUri::read`].
    pub redirect_uris: Vec<String>,
    /// How it proves itself.
    pub authentication: ClientAuthentication,
}

/// The client of a login: stored with its code and its refresh tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientOfLogin {
    /// `client_id`.
    pub id: String,
    /// How it proves itself.
    pub authentication: AuthenticationMethod,
}

impl Client {
    /// The redirect URI that a request names, if it is one of the client's: an exact entry, or a loopback one with another
    /// port. Only a public client may choose its port.
    #[must_use]
    pub fn redirect_uri(&self, requested: &str) -> Option<RedirectUri> {
        let any_port = self.authentication_method() != AuthenticationMethod::PrivateKeyJwt;
        // What has a private-use scheme here was accepted when the client became known.
        find(&self.redirect_uris, requested, &self.redirect_uris, any_port)
    }

    /// The method by which it proves itself.
    #[must_use]
    pub const fn authentication_method(&self) -> AuthenticationMethod {
        match &self.authentication {
            ClientAuthentication::None => AuthenticationMethod::None,
            ClientAuthentication::PrivateKeyJwt { required: true, .. } => AuthenticationMethod::PrivateKeyJwt,
            ClientAuthentication::PrivateKeyJwt { required: false, .. } => {
                AuthenticationMethod::PrivateKeyJwtOrNone
            }
        }
    }

    /// What is stored with a login of this client.
    #[must_use]
    pub fn of_login(&self) -> ClientOfLogin {
        ClientOfLogin {
            id: self.id.clone(),
            authentication: self.authentication_method(),
        }
    }

    /// Digest of what a remembered consent is bound to: redirect URIs and method. If either changes, the user decides again.
    #[must_use]
    pub fn consent_digest(&self) -> String {
        let mut uris: Vec<&str> = self.redirect_uris.iter().map(String::as_str).collect();
        uris.sort_unstable();
        let mut parts = vec!["consent", &self.id, self.authentication_method().name()];
        parts.extend(uris);
        hex_of_parts(&parts)
    }

    /// The host that vouches for the client: that of its metadata document. `None` for the others.
    #[must_use]
    pub fn host_shown(&self) -> Option<&str> {
        if self.kind != ClientKind::MetadataDocument {
            return None;
        }
        let (_, rest) = self.id.split_once("://")?;
        let authority = rest.split('/').next()?;
        Some(authority)
    }
}

/// Finds `requested` among `registered`: an exact entry, else, if `any_port`, a loopback one with another port.
fn find(
    registered: &[String],
    requested: &str,
    private_use: &[String],
    any_port: bool,
) -> Option<RedirectUri> {
    let requested = RedirectUri::read(requested, private_use).ok()?;
    let is_exact = registered.iter().any(|entry| entry == requested.as_str());
    let is_equal = |entry: &String| {
        RedirectUri::read(entry, private_use).is_ok_and(|entry| requested.is_on_another_port_of(&entry))
    };
    (is_exact || (any_port && registered.iter().any(is_equal))).then_some(requested)
}

/// Why a client's name is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("client_name is longer than {MAX_NAME_CHARACTERS} characters")]
pub struct NameTooLong;

/// A name as it can be shown: runs of white space become one blank; control characters and those that change the direction
/// of the text around them, or are invisible, are left out. May be empty.
///
/// # Errors
/// [`NameTooLong`].
pub fn shown_name(name: &str) -> Result<String, NameTooLong> {
    if name.chars().count() > MAX_NAME_CHARACTERS {
        return Err(NameTooLong);
    }
    let visible = |letter: &char| letter.is_whitespace() || !(letter.is_control() || is_invisible(*letter));
    let visible: String = name.chars().filter(visible).collect();
    Ok(visible.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Unicode's bidirectional controls (UAX #9 §2), and letters without a shape.
const fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
