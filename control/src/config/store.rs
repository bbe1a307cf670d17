//! `store` and `sealing`: where everything is kept, and under which keys.

use std::path::PathBuf;

use secrecy::SecretString;

use super::check::{Findings, shown};
use super::raw::{RawSealing, RawSealingKey, RawSentinel, RawStore, RawValkey, Text};
use super::{SealingConfig, SealingKeyConfig, StoreConfig, StoreEngine, ValkeyServers, spans};
use crate::record::keyring::{BadKey, SealingKey};
use crate::store::valkey::address::{self, ServerRole};
use crate::yaml::Spanned;

pub(super) fn store(findings: &mut Findings, raw: &Spanned<RawStore>) -> Option<StoreConfig> {
    let deadline = findings.span(
        "store.deadline",
        raw.value.deadline.as_ref(),
        spans::STORE_DEADLINE,
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
                "keep the one that the url belongs to",
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
    })
}

/// `None`: it cannot be read, and that is a finding.
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
            // The client would be the default user instead, in silence.
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
            "write the name that the sentinels have for the primary",
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
            "store.valkey.key_prefix holds a blank or a control character",
            "write it as in \"tokenward:\"",
        );
    }
}

pub(super) fn sealing(findings: &mut Findings, raw: &RawSealing) -> Option<SealingConfig> {
    let current = sealing_key(findings, &raw.current);
    let previous: Vec<_> = raw
        .previous
        .iter()
        .map(|key| sealing_key(findings, key))
        .collect();
    let mut seen = vec![raw.current.id.value.as_str()];
    for key in &raw.previous {
        if seen.contains(&key.id.value.as_str()) {
            findings.add(
                key.id.referenced,
                format!("sealing key id {:?} is used twice", shown(&key.id.value)),
                "give every key its own id and keep it for as long as the key is used",
            );
        }
        seen.push(&key.id.value);
    }
    Some(SealingConfig {
        current: current?,
        previous: previous.into_iter().collect::<Option<_>>()?,
    })
}

fn sealing_key(findings: &mut Findings, raw: &RawSealingKey) -> Option<SealingKeyConfig> {
    let id = raw.id.value.clone();
    let key = findings.secret("the sealing key", &raw.key)?;
    match SealingKey::from_base64(&id, &key) {
        Ok(_) => Some(SealingKeyConfig { id, key }),
        Err(bad) => {
            let place = match bad {
                BadKey::Id { .. } => raw.id.referenced,
                _ => raw.key.referenced,
            };
            findings.add(place, bad.to_string(), "");
            None
        }
    }
}
