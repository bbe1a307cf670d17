//! `sealing`: the keys that seal records.

use super::findings::{Findings, shown};
use super::raw::{RawSealing, RawSealingKey};
use super::{SealingConfig, SealingKeyConfig};
use crate::record::keyring::{BadKey, SealingKey};

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
