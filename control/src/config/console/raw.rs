//! `console` as written.

use serde::Deserialize;

use crate::config::raw_values::{RawSecret, Text};
use crate::config::tls::RawTls;
use crate::yaml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawConsole {
    pub(super) listen: Text,
    pub(super) tls: Option<Spanned<RawTls>>,
    pub(super) public_url: Text,
    pub(super) issuer: Text,
    pub(super) client_id: Text,
    pub(super) client_secret: Spanned<RawSecret>,
    pub(super) groups: Spanned<Vec<Text>>,
    pub(super) groups_claim: Option<Text>,
    pub(super) scopes: Option<Spanned<Vec<Text>>>,
    pub(super) connector_id: Option<Text>,
    pub(super) authorization_endpoint: Option<Text>,
    pub(super) token_endpoint: Option<Text>,
    pub(super) jwks_uri: Option<Text>,
    pub(super) client_auth: Option<Text>,
    pub(super) session_lifetime: Option<Text>,
    pub(super) trusted_proxies: Option<Spanned<u32>>,
}
