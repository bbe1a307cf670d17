//! `authorization` as written: names, shapes and positions, without checks of the values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::config::raw_values::{RawSecret, Text};
use crate::yaml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawAuthorization {
    pub(super) issuer: Text,
    pub(super) login: Option<Spanned<RawLogin>>,
    pub(super) signing_keys: Spanned<RawSigningKeys>,
    pub(super) access_token_lifetime: Option<Text>,
    pub(super) refresh_token_lifetime: Option<Text>,
    pub(super) login_lifetime: Option<Text>,
    pub(super) replay_window: Option<Text>,
    pub(super) default_server: Option<Text>,
    #[serde(default)]
    pub(super) clients: RawClients,
    pub(super) remembered_consent: Option<RawRememberedConsent>,
    pub(super) trusted_proxies: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLogin {
    pub(super) issuer: Option<Text>,
    pub(super) client_id: Option<Text>,
    pub(super) scopes: Option<Spanned<Vec<Text>>>,
    pub(super) connector_id: Option<Text>,
    pub(super) authorization_endpoint: Option<Text>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSigningKeys {
    pub(super) current: Spanned<RawSecret>,
    pub(super) next: Option<Spanned<RawSecret>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClients {
    #[serde(default)]
    pub(super) configured: Vec<Spanned<RawConfiguredClient>>,
    #[serde(default)]
    pub(super) metadata_documents: RawMetadataDocuments,
    #[serde(default)]
    pub(super) registration: RawRegistration,
    pub(super) private_use_redirects: Option<Vec<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfiguredClient {
    pub(super) client_id: Text,
    pub(super) name: Text,
    pub(super) redirect_uris: Spanned<Vec<Text>>,
    pub(super) jwks: Option<Spanned<RawFile>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetadataDocuments {
    pub(super) hosts: Option<Spanned<RawHosts>>,
    #[serde(default)]
    pub(super) pinned: Vec<Spanned<RawPinnedDocument>>,
    pub(super) egress_proxy: Option<Text>,
    #[serde(default)]
    pub(super) allow_private_addresses: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPinnedDocument {
    pub(super) client_id: Text,
    pub(super) file: Text,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegistration {
    pub(super) enabled: Option<bool>,
    pub(super) lifetime: Option<Text>,
    pub(super) not_before: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRememberedConsent {
    pub(super) clients: Vec<Text>,
    pub(super) lifetime: Option<Text>,
}

/// A public file of several lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFile {
    pub(super) file: Text,
}

/// A policy by its name, or a list of hosts.
pub(super) enum RawHosts {
    Named(String),
    Listed(Vec<Text>),
}

impl<'de> Deserialize<'de> for RawHosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HostsVisitor;

        impl<'de> Visitor<'de> for HostsVisitor {
            type Value = RawHosts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("known, any, pinned, or a list of hosts")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<RawHosts, E> {
                Ok(RawHosts::Named(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawHosts, A::Error> {
                let mut hosts = Vec::new();
                while let Some(host) = items.next_element()? {
                    hosts.push(host);
                }
                Ok(RawHosts::Listed(hosts))
            }
        }

        deserializer.deserialize_any(HostsVisitor)
    }
}
