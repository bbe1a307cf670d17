//! A client's metadata document (draft-ietf-oauth-client-id-metadata-document): what must hold before it is believed. Pure.

use tokenward_protocol::json::{self, Json};

use super::url::DocumentUrl;
use crate::authorization::client::{
    Client, ClientAuthentication, ClientKeys, ClientKind, MAX_NAME_CHARACTERS, shown_name,
};
use crate::config::redirect_uri::{BadRedirectUri, RedirectTarget, RedirectUri};
use crate::upstream::issuer::key_set::KeySet;

/// The longest document, in bytes. The draft recommends 5 KiB.
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// Why a document is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadDocument {
    /// Not a JSON object, or a member that matters occurs twice.
    #[error("it is not a JSON object in which each member occurs once")]
    NotAnObject,
    /// Its `client_id` is not the URL that it was fetched from, byte for byte.
    #[error("its client_id is not its URL")]
    ClientId,
    /// `client_name` is missing, empty or too long.
    #[error("client_name must be a visible string of at most {MAX_NAME_CHARACTERS} characters")]
    Name,
    /// It holds or needs a shared secret: every visitor can read it.
    #[error("it has a member client_secret, or an authentication method with a shared secret")]
    Secret,
    /// Another authentication method than `none` and `private_key_jwt`.
    #[error("token_endpoint_auth_method must be none or private_key_jwt")]
    Method,
    /// `private_key_jwt` without exactly one of `jwks` and `jwks_uri`, or without a usable key.
    #[error("private_key_jwt needs either jwks with a usable key or an https jwks_uri")]
    Keys,
    /// `grant_types` or `response_types` leaves out what a login needs.
    #[error("grant_types must contain authorization_code, and response_types code")]
    Grants,
    /// `redirect_uris` is no list of texts, or empty.
    #[error("redirect_uris must be a list of strings")]
    RedirectUris,
    /// No redirect URI is accepted; why the first is not.
    #[error("no redirect URI is accepted; the first: {0}")]
    NoRedirectUri(BadRedirectUri),
    /// No redirect URI leads to the user's own machine or to the document's own origin.
    #[error("no redirect URI leads to this machine or to the origin of the document")]
    OtherOrigin,
}

/// Reads the document that `client_id`, read as `url`, stands for.
///
/// # Errors
/// [`BadDocument`].
pub fn read(
    body: &[u8],
    client_id: &str,
    url: &DocumentUrl,
    private_use: &[String],
) -> Result<Client, BadDocument> {
    let document = Document::read(body)?;
    if document.text("client_id")? != Some(client_id) {
        return Err(BadDocument::ClientId);
    }
    document.allows("grant_types", "authorization_code")?;
    document.allows("response_types", "code")?;
    let name = document.text("client_name")?.ok_or(BadDocument::Name)?;
    let name = shown_name(name).map_err(|_| BadDocument::Name)?;
    if name.is_empty() {
        return Err(BadDocument::Name);
    }
    Ok(Client {
        id: client_id.to_owned(),
        name,
        kind: ClientKind::MetadataDocument,
        redirect_uris: redirect_uris(&document, url, private_use)?,
        authentication: authentication(&document, url)?,
    })
}

/// The members of a document.
struct Document<'a> {
    object: Json<'a>,
    body: &'a [u8],
}

impl<'a> Document<'a> {
    fn read(body: &'a [u8]) -> Result<Self, BadDocument> {
        match json::parse(body) {
            Ok(object @ Json::Object(_)) => Ok(Self { object, body }),
            _ => Err(BadDocument::NotAnObject),
        }
    }

    /// A member; `null` is the same as none.
    fn member(&self, name: &str) -> Result<Option<&Json<'a>>, BadDocument> {
        let member = self.object.member(name).map_err(|_| BadDocument::NotAnObject)?;
        Ok(member.filter(|value| **value != Json::Null))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, BadDocument> {
        Ok(self.member(name)?.and_then(Json::as_text))
    }

    fn list(&self, name: &str) -> Result<Option<&[Json<'a>]>, BadDocument> {
        match self.member(name)? {
            Some(Json::List(items)) => Ok(Some(items)),
            _ => Ok(None),
        }
    }

    /// Whether the list `name` contains `needed`; an absent one does (RFC 7591 §2).
    fn allows(&self, name: &str, needed: &str) -> Result<(), BadDocument> {
        match self.member(name)? {
            None => Ok(()),
            Some(_) if contains(self.list(name)?, needed) => Ok(()),
            Some(_) => Err(BadDocument::Grants),
        }
    }

    /// `jwks` as text.
    fn jwks(&self) -> Option<String> {
        let document: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(self.body).ok()?;
        Some(document.get("jwks")?.to_string())
    }

    fn has_secret(&self) -> bool {
        match &self.object {
            Json::Object(members) => members.iter().any(|(name, _)| name.starts_with("client_secret")),
            _ => false,
        }
    }
}

fn contains(list: Option<&[Json<'_>]>, text: &str) -> bool {
    list.is_some_and(|items| items.iter().any(|item| item.as_text() == Some(text)))
}

/// The accepted redirect URIs: those on the user's own machine, those on the origin of the document, and configured private-use
/// ones. A document that sends codes to a third host may serve that host.
fn redirect_uris(
    document: &Document<'_>,
    url: &DocumentUrl,
    private_use: &[String],
) -> Result<Vec<String>, BadDocument> {
    let uris = document
        .list("redirect_uris")?
        .filter(|uris| !uris.is_empty())
        .ok_or(BadDocument::RedirectUris)?;
    let (mut accepted, mut first_fault) = (Vec::new(), None);
    for uri in uris {
        let uri = uri.as_text().ok_or(BadDocument::RedirectUris)?;
        match RedirectUri::read(uri, private_use) {
            Ok(read) if read.target() == RedirectTarget::Https && read.origin() != url.origin() => {
                first_fault = first_fault.or(Some(BadDocument::OtherOrigin));
            }
            Ok(_) => accepted.push(uri.to_owned()),
            Err(bad) => first_fault = first_fault.or(Some(BadDocument::NoRedirectUri(bad))),
        }
    }
    match first_fault {
        Some(fault) if accepted.is_empty() => Err(fault),
        _ => Ok(accepted),
    }
}

/// `token_endpoint_auth_method`. ChatGPT's document names `private_key_jwt` there, and `none` too in a list of methods that RFC
/// 7591 does not know: then both are accepted.
fn authentication(document: &Document<'_>, url: &DocumentUrl) -> Result<ClientAuthentication, BadDocument> {
    if document.has_secret() {
        return Err(BadDocument::Secret);
    }
    let also_none = contains(document.list("token_endpoint_auth_methods_supported")?, "none");
    match document.member("token_endpoint_auth_method")? {
        None => Ok(ClientAuthentication::None),
        Some(method) => match method.as_text() {
            Some("none") => Ok(ClientAuthentication::None),
            Some("private_key_jwt") => match keys(document, url) {
                Ok(keys) => Ok(ClientAuthentication::PrivateKeyJwt {
                    keys,
                    required: !also_none,
                }),
                Err(_) if also_none => Ok(ClientAuthentication::None),
                Err(bad) => Err(bad),
            },
            Some(secret) if secret.starts_with("client_secret") => Err(BadDocument::Secret),
            _ => Err(BadDocument::Method),
        },
    }
}

/// The client's public keys. RFC 7591 §2: `jwks` and `jwks_uri` must not both be there.
fn keys(document: &Document<'_>, url: &DocumentUrl) -> Result<ClientKeys, BadDocument> {
    match (document.member("jwks")?, document.text("jwks_uri")?) {
        (Some(_), None) => {
            let jwks = document.jwks().ok_or(BadDocument::Keys)?;
            let is_usable = KeySet::read(jwks.as_bytes()).is_ok_and(|set| !set.keys.is_empty());
            is_usable
                .then_some(ClientKeys::Inline(jwks))
                .ok_or(BadDocument::Keys)
        }
        (None, Some(uri)) => match url.another(uri) {
            Ok(_) => Ok(ClientKeys::At(uri.to_owned())),
            Err(_) => Err(BadDocument::Keys),
        },
        _ => Err(BadDocument::Keys),
    }
}
