//! `store` and `sealing`: where everything is kept, and under which keys.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::check::{Findings, shown};
use super::raw::{RawSealing, RawSealingKey, RawStore, RawValkey, Text};
use super::{SealingConfig, SealingKeyConfig, StoreConfig, StoreEngine, ValkeyServers};
use crate::seal::{BadKey, SealingKey};
use crate::yaml::Spanned;

pub(super) fn store(findings: &mut Findings, raw: &Spanned<RawStore>) -> Option<StoreConfig> {
    let deadline = findings.positive(
        "store.deadline",
        raw.value.deadline.as_ref(),
        Duration::from_secs(2),
    );
    let engine = match (&raw.value.embedded, &raw.value.valkey) {
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
    check_address(findings, &raw.url);
    let password = match &raw.password {
        Some(source) => Some(findings.secret("store.valkey.password", source)?),
        None => None,
    };
    let more = |findings: &mut Findings, urls: &[Text]| -> Vec<String> {
        urls.iter()
            .inspect(|url| check_address(findings, url))
            .map(|url| url.value.clone())
            .collect()
    };
    let servers = match (&raw.sentinel, &raw.cluster) {
        (None, None) => ValkeyServers::One,
        (Some(sentinel), None) => ValkeyServers::Sentinel {
            service: sentinel.value.service.value.clone(),
            more_sentinels: more(findings, &sentinel.value.more),
            password: match &sentinel.value.password {
                Some(source) => Some(findings.secret("store.valkey.sentinel.password", source)?),
                None => None,
            },
        },
        (None, Some(cluster)) => ValkeyServers::Cluster {
            more_nodes: more(findings, &cluster.value.more),
        },
        (Some(sentinel), Some(_)) => {
            findings.add(
                sentinel.referenced,
                "store.valkey has both sentinel and cluster",
                "keep the one that the url belongs to",
            );
            return None;
        }
    };
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    Some(StoreEngine::Valkey {
        url: raw.url.value.clone(),
        username: text(&raw.username),
        password,
        key_prefix: text(&raw.key_prefix).unwrap_or_else(|| "tokenward:".to_owned()),
        servers,
    })
}

fn check_address(findings: &mut Findings, text: &Text) {
    let usable = Url::parse(&text.value).is_ok_and(|url| {
        matches!(url.scheme(), "redis" | "rediss" | "unix" | "redis+unix") && url.password().is_none()
    });
    if !usable {
        findings.add(
            text.referenced,
            "a Valkey address must be a redis://, rediss:// or unix:// URL without a password",
            "write it as in \"rediss://valkey.example.com:6379/0\" and name the password's source under password",
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
