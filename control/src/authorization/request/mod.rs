//! Authorization requests. Until client and redirect URI are known, a fault is shown to the user; from then on the client is
//! told, at its redirect URI.

pub mod check;
pub mod parameters;
pub mod reply;
pub mod sealed_form;

use serde::{Deserialize, Serialize};

use self::check::Asked;
use self::reply::ReplyTo;
use crate::authorization::client::redirect_uri::{RedirectTarget, RedirectUri};
use crate::authorization::client::{Client, ClientOfLogin};

/// Version of [`CheckedRequest`].
pub const FORMAT: u8 = 1;

/// A request that everything is known of and that the user must decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedRequest {
    /// [`FORMAT`].
    pub format: u8,
    /// The client.
    pub client: ClientOfLogin,
    /// What it calls itself.
    pub client_name: String,
    /// The host that vouches for it: that of its metadata document.
    pub client_host: Option<String>,
    /// Whether the operator configured it.
    pub is_configured: bool,
    /// [`Client::consent_digest`].
    pub consent_digest: String,
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// The host of the redirect URI.
    pub redirect_host: String,
    /// Where that leads.
    pub redirect_kind: RedirectKind,
    /// `code_challenge`.
    pub code_challenge: String,
    /// The server.
    pub server: String,
    /// Its resource identifier.
    pub resource: String,
    /// The granted scopes.
    pub scope: Vec<String>,
    /// When the request was checked, Unix ms.
    pub checked_at_ms: u64,
}

/// Where a redirect URI leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RedirectKind {
    /// To a host of the web.
    Web,
    /// To a program on the user's computer, whichever listens there.
    Loopback,
    /// To the program that has registered the scheme.
    PrivateUse,
}

impl CheckedRequest {
    /// The request of `client` for what it `asked`, to be answered at `redirect_uri`.
    #[must_use]
    pub fn new(
        client: &Client,
        redirect_uri: &RedirectUri,
        state: Option<String>,
        asked: Asked,
        now_ms: u64,
    ) -> Self {
        Self {
            format: FORMAT,
            client: client.of_login(),
            client_name: client.name.clone(),
            client_host: client.host_shown().map(str::to_owned),
            is_configured: client.kind == crate::authorization::client::ClientKind::Configured,
            consent_digest: client.consent_digest(),
            reply_to: ReplyTo {
                redirect_uri: redirect_uri.as_str().to_owned(),
                state,
            },
            redirect_host: redirect_uri.host_shown().to_owned(),
            redirect_kind: match redirect_uri.target() {
                RedirectTarget::Https => RedirectKind::Web,
                RedirectTarget::Loopback => RedirectKind::Loopback,
                RedirectTarget::PrivateUse => RedirectKind::PrivateUse,
            },
            code_challenge: asked.code_challenge,
            server: asked.server,
            resource: asked.resource,
            scope: asked.scope,
            checked_at_ms: now_ms,
        }
    }
}
