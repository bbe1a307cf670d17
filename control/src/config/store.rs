//! `store`: the engine and its address.

use std::path::PathBuf;

use secrecy::SecretString;

use super::findings::Findings;
use super::raw::{RawSentinel, RawStore, RawValkey, Text};
use super::{StoreConfig, StoreEngine, ValkeyServers, durations};
use crate::store::valkey::address::{self, ServerRole};
use crate::yaml::Spanned;

pub(super) fn store(findings: &mut Findings, raw: &Spanned<RawStore>) -> Option<StoreConfig> {
    let deadline = findings.bounded_duration(
        "store.deadline",
        raw.value.deadline.as_ref(),
        durations::STORE_DEADLINE,
    );
    let engine = match (&raw.value.embedded, &raw.value.valkey) {
        (Some(embedded), None) if embedded.path.value.is_empty() => {
            findings.add(
                embedded.path.referenced,
                "store.embedded.path is empty",
                "name the file, as in /var/lib/tokenward/tokenward.redb",
            );
            return None;
        }
        (Some(embedded), None) => StoreEngine::Embedded {
            path: PathBuf::from(&embedded.path.value),
        },
        (None, Some(raw)) => valkey(findings, raw)?,
        _ => {
            findings.add(
                raw.referenced,
                "store needs exactly one engine",
                "write embedded: {path: …} or valkey: {url: …}",
            );
            return None;
        }
    };
    Some(StoreConfig { engine, deadline })
}

fn valkey(findings: &mut Findings, raw: &RawValkey) -> Option<StoreEngine> {
    let among = match (&raw.sentinel, &raw.cluster) {
        (Some(sentinel), Some(_)) => {
            findings.add(
                sentinel.referenced,
                "store.valkey has both sentinel and cluster",
                "remove the one that the url does not belong to",
            );
            return None;
        }
        (Some(_), None) => ServerRole::Sentinel,
        (None, Some(_)) => ServerRole::ClusterNode,
        (None, None) => ServerRole::Standalone,
    };
    let first = match address::parse(&raw.url.value, among) {
        Ok(first) => Some(first),
        Err(bad) => {
            findings.add(raw.url.referenced, format!("store.valkey.url {bad}"), bad.hint());
            None
        }
    };
    let mut more = |name: &str, urls: &[Text]| -> Vec<String> {
        for url in urls {
            let read = match &first {
                Some(first) => address::parse_more(&url.value, among, first),
                None => address::parse(&url.value, among),
            };
            if let Err(bad) = read {
                findings.add(url.referenced, format!("{name} {bad}"), bad.hint());
            }
        }
        urls.iter().map(|url| url.value.clone()).collect()
    };
    let servers = match (&raw.sentinel, &raw.cluster) {
        (Some(sentinel), _) => ValkeyServers::Sentinel {
            service: sentinel.value.service.value.clone(),
            more_sentinels: more("store.valkey.sentinel.more", &sentinel.value.more),
            password: sentinel_password(findings, &sentinel.value)?,
        },
        (None, Some(cluster)) => ValkeyServers::Cluster {
            more_nodes: more("store.valkey.cluster.more", &cluster.value.more),
        },
        (None, None) => ValkeyServers::One,
    };
    check_names(findings, raw);
    let password = match &raw.password {
        Some(source) => Some(findings.secret("store.valkey.password", source)?),
        None => None,
    };
    first?;
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    Some(StoreEngine::Valkey {
        url: raw.url.value.clone(),
        username: text(&raw.username),
        password,
        key_prefix: text(&raw.key_prefix).unwrap_or_else(|| "tokenward:".to_owned()),
        servers,
        client_side_caching: raw.client_side_caching.unwrap_or(true),
    })
}

/// `None` after a problem; `Some(None)` where no password is configured.
fn sentinel_password(findings: &mut Findings, raw: &RawSentinel) -> Option<Option<SecretString>> {
    match &raw.password {
        Some(source) => findings
            .secret("store.valkey.sentinel.password", source)
            .map(Some),
        None => Some(None),
    }
}

fn check_names(findings: &mut Findings, raw: &RawValkey) {
    if let Some(username) = &raw.username {
        if username.value.is_empty() {
            findings.add(
                username.referenced,
                "store.valkey.username is empty",
                "leave it out for the default user",
            );
        } else if raw.password.is_none() {
            // Without a password, the client would silently authenticate as the default user.
            findings.add(
                username.referenced,
                "store.valkey.username has no password",
                "name the source of the user's password in store.valkey.password",
            );
        }
    }
    if let Some(sentinel) = &raw.sentinel
        && sentinel.value.service.value.is_empty()
    {
        findings.add(
            sentinel.value.service.referenced,
            "store.valkey.sentinel.service is empty",
            "write the name under which the sentinels monitor the primary",
        );
    }
    if let Some(prefix) = &raw.key_prefix
        && prefix
            .value
            .chars()
            .any(|letter| letter.is_control() || letter.is_whitespace())
    {
        findings.add(
            prefix.referenced,
            "store.valkey.key_prefix contains whitespace or a control character",
            "write it as in \"tokenward:\"",
        );
    }
}
