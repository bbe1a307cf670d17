//! The use cases of our own authorization server.

pub(crate) mod authorize;
pub(crate) mod callback;
mod client;
pub(crate) mod consent;
mod issue;
pub(crate) mod register;
mod report;
mod revoke;
mod token;
pub(crate) mod upstream;

pub(crate) use self::client::RequestClient;
pub(crate) use self::issue::IssuedTokens;
pub(crate) use self::revoke::Revoked;
pub(crate) use self::token::{CodeRequest, RefreshRequest, TokenRequestOfClient};

use crate::authorization::access_token::SigningKeys;
use crate::authorization::client::Clients;
use crate::authorization::code::Codes;
use crate::authorization::family::Families;
use crate::config::AuthorizationConfig;
use crate::context::Context;

use super::StartError;

/// What the `authorization` section of one configuration determines.
pub(crate) struct AuthorizationServer {
    /// The section.
    pub(crate) config: AuthorizationConfig,
    /// Which programs may ask.
    pub(crate) clients: Clients,
    /// The keys of access tokens.
    pub(crate) keys: SigningKeys,
    codes: Codes,
    pub(in crate::app) families: Families,
}

impl AuthorizationServer {
    /// The server of `config`, after `earlier`.
    ///
    /// # Errors
    /// [`StartError`].
    pub(super) fn new(
        config: &AuthorizationConfig,
        context: &Context,
        earlier: Option<&Self>,
    ) -> Result<Self, StartError> {
        Ok(Self {
            clients: match earlier {
                Some(earlier) => earlier.clients.succeeded_by(config, context)?,
                None => Clients::new(config, context)?,
            },
            keys: SigningKeys::from_config(&config.signing_keys)?,
            codes: Codes::new(context.clone()),
            families: Families::new(context.clone()),
            config: config.clone(),
        })
    }
}
