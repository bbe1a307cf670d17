//! The YAML as written: names, shapes and positions, without checks of the values. Unknown fields are errors.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::authorization::raw::RawAuthorization;
use super::console::raw::RawConsole;
use super::kubernetes::raw::RawKubernetes;
pub(super) use super::raw_values::{RawSecret, RawText, Text};
use super::tls::RawTls;
use crate::yaml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) listen: Option<Text>,
    pub(super) tls: Option<Spanned<RawTls>>,
    pub(super) watch_interval: Option<Text>,
    pub(super) intake: Option<Spanned<RawIntake>>,
    pub(super) credentials: Spanned<RawCredentials>,
    pub(super) store: Spanned<RawStore>,
    pub(super) sealing: Spanned<RawSealing>,
    pub(super) margin: Option<Text>,
    pub(super) stale_subject_grace: Option<Text>,
    pub(super) session_lifetime: Option<Text>,
    pub(super) issuer_timeout: Option<Text>,
    pub(super) caller_deadline: Option<Text>,
    pub(super) lease: Option<Text>,
    pub(super) transient_limit: Option<Text>,
    pub(super) rejected_interval: Option<Text>,
    pub(super) issuers: Spanned<Vec<Spanned<RawIssuer>>>,
    pub(super) remote_issuers: Option<Spanned<Vec<Spanned<RawRemoteIssuer>>>>,
    pub(super) servers: Spanned<Vec<Spanned<RawServer>>>,
    pub(super) filter_module: Option<RawFilterModule>,
    pub(super) resource_metadata: Option<Spanned<RawResourceMetadata>>,
    pub(super) authorization: Option<Spanned<RawAuthorization>>,
    pub(super) console: Option<Spanned<RawConsole>>,
    pub(super) kubernetes: Option<Spanned<RawKubernetes>>,
    pub(super) audit: Option<RawAudit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    pub(super) file: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResourceMetadata {
    #[serde(default)]
    pub(super) authorization_servers: Vec<Text>,
    #[serde(default)]
    pub(super) scopes: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFilterModule {
    pub(super) path: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIntake {
    pub(super) deadline: Option<Text>,
    pub(super) keep_alive: Option<Text>,
    pub(super) connections: Option<Spanned<u32>>,
    pub(super) bytes: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCredentials {
    pub(super) filter: Spanned<RawSecret>,
    pub(super) aggregator: Spanned<RawSecret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) embedded: Option<RawEmbedded>,
    pub(super) valkey: Option<RawValkey>,
    pub(super) deadline: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEmbedded {
    pub(super) path: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawValkey {
    pub(super) url: Text,
    pub(super) username: Option<Text>,
    pub(super) password: Option<Spanned<RawSecret>>,
    pub(super) key_prefix: Option<Text>,
    pub(super) sentinel: Option<Spanned<RawSentinel>>,
    pub(super) cluster: Option<Spanned<RawCluster>>,
    pub(super) client_side_caching: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSentinel {
    pub(super) service: Text,
    #[serde(default)]
    pub(super) more: Vec<Text>,
    pub(super) password: Option<Spanned<RawSecret>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    #[serde(default)]
    pub(super) more: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSealing {
    pub(super) current: RawSealingKey,
    #[serde(default)]
    pub(super) previous: Vec<RawSealingKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSealingKey {
    pub(super) id: Text,
    pub(super) key: Spanned<RawSecret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIssuer {
    pub(super) issuer: Text,
    pub(super) client_id: Text,
    pub(super) client_secret: Option<Spanned<RawSecret>>,
    pub(super) client_key: Option<Spanned<RawSecret>>,
    pub(super) token_endpoint: Option<Text>,
    pub(super) jwks_uri: Option<Text>,
    #[serde(default)]
    pub(super) trusted_peers: Vec<Text>,
    pub(super) dialect: Option<Text>,
    pub(super) policy: Option<Text>,
    pub(super) refresh_tokens: Option<Text>,
    pub(super) sign_out: Option<Text>,
    #[serde(default)]
    pub(super) rejected_keys: Vec<Text>,
    pub(super) client_auth: Option<Text>,
    pub(super) relay: Option<Spanned<RawRelay>>,
    pub(super) limits: Option<Spanned<RawLimits>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRemoteIssuer {
    pub(super) issuer: Text,
    pub(super) limits: Spanned<RawLimits>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) calls_per_second: Option<Spanned<u32>>,
    pub(super) burst: Option<Spanned<u32>>,
    pub(super) concurrent_calls: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelay {
    pub(super) public_endpoint: Option<Text>,
    pub(super) stale_subject_grace: Option<Text>,
    pub(super) deadline: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) name: Option<Text>,
    pub(super) resource: Option<Text>,
    /// By which requests the gateway finds it.
    #[serde(rename = "match")]
    pub(super) matcher: Option<Spanned<RawMatch>>,
    #[serde(rename = "listener405After")]
    pub(super) listener_405_after: Option<Spanned<u32>>,
    /// `iss` of the issuer that logs its users in.
    pub(super) issuer: Option<Text>,
    pub(super) auth: Option<Spanned<RawAuth>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawMatch {
    pub(super) host: Option<Text>,
    pub(super) path_prefix: Option<Text>,
}

/// The MCPServer CRD's `auth` block, limited to the fields that Tokenward uses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAuth {
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    #[serde(default)]
    pub(super) forward_token: bool,
    /// Not in the CRD: `id_token` or `access_token`.
    pub(super) forward: Option<Text>,
    #[serde(default)]
    pub(super) required_audiences: Vec<Text>,
    pub(super) token_exchange: Option<Spanned<RawExchange>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawExchange {
    #[serde(default)]
    pub(super) enabled: bool,
    pub(super) dialect: Option<Text>,
    pub(super) grant: Option<Text>,
    pub(super) token_endpoint: Option<Text>,
    /// The CRD's name for it.
    pub(super) dex_token_endpoint: Option<Text>,
    pub(super) expected_issuer: Option<Text>,
    /// The remote keys, where they do not follow from the token endpoint.
    pub(super) jwks_uri: Option<Text>,
    pub(super) subject: Option<Text>,
    pub(super) subject_token_type: Option<Text>,
    pub(super) requested_token_type: Option<Text>,
    #[serde(default)]
    pub(super) audience: Vec<Text>,
    pub(super) connector_id: Option<Text>,
    pub(super) scopes: Option<Text>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Text>,
    pub(super) verify: Option<Text>,
    pub(super) client_credentials: Option<RawClientCredentials>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawClientCredentials {
    pub(super) client_id: Spanned<RawText>,
    pub(super) client_secret: Option<Spanned<RawSecret>>,
    /// Not in the CRD: the private key in PEM, in place of the secret.
    pub(super) client_key: Option<Spanned<RawSecret>>,
    /// Not in the CRD: `basic`, `post` or `private_key_jwt`.
    pub(super) client_auth: Option<Text>,
}
