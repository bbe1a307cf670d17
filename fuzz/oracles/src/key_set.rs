//! An issuer's key set: every member is used or left out with a reason, and a key that is used stays the same key.

use http::{HeaderMap, HeaderValue};
use serde_json::{Map, Value};
use tokenward_control::upstream::issuer::jwk::VerifyingKey;
use tokenward_control::upstream::issuer::key_set::{BadKeySet, CacheTime, KeySet, MOST_KEYS};
use tokenward_control::upstream::issuer::loggable::loggable;
use tokenward_control::upstream::issuer::verify::{read_header, signed_by};

/// Reads a line with the values of `cache-control` and `age`, separated by a semicolon, and a key set below it.
pub fn key_set(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    cache_time(halves.next().unwrap_or_default());
    let body = halves.next().unwrap_or_default();
    match KeySet::read(body) {
        Ok(set) => {
            let members = members(body).expect("a set is an object with an array of keys");
            assert_eq!(set.keys.len() + set.unused.len() + set.more, members);
            assert!(set.keys.len() <= MOST_KEYS && set.unusable() <= members);
            assert_eq!(set.unusable() == 0, set.unusable_reasons().is_empty());
            set.keys.iter().for_each(used);
        }
        Err(BadKeySet::Empty) => assert!(members(body).is_some()),
        Err(BadKeySet::NotASet) => assert_eq!(members(body), None),
    }
}

fn cache_time(line: &[u8]) {
    let mut values = line.splitn(2, |byte| *byte == b';');
    let mut headers = HeaderMap::new();
    for name in ["cache-control", "age"] {
        if let Ok(value) = HeaderValue::from_bytes(values.next().unwrap_or_default()) {
            headers.insert(name, value);
        }
    }
    let cache = CacheTime::read(&headers);
    assert!(cache.possible_age().as_secs() <= 24 * 3600 && cache.overlap().as_secs() <= 600);
    assert!(cache.remaining().is_none_or(|left| Some(left) <= cache.lifetime));
}

/// What is kept in the store reads back as the same key, and no key verifies a made-up signature.
fn used(key: &VerifyingKey) {
    let kept = key.to_jwk();
    let again = kept.as_object().map(VerifyingKey::read).expect("an object");
    let again = again.expect("what is kept can be read");
    assert_eq!((again.id(), again.material()), (key.id(), key.material()));
    assert_eq!(
        (again.thumbprint().len(), again.thumbprint()),
        (43, key.thumbprint())
    );
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA";
    let header = read_header(token).expect("a header");
    assert!(!signed_by(token, header.algorithm, key));
    let id = key.id().map(loggable).unwrap_or_default();
    assert!(id.len() <= 67 && !id.contains(['"', '\\', '\n']));
}

/// The same, said a second time: how many keys there are.
fn members(body: &[u8]) -> Option<usize> {
    let body = body.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(body);
    let document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    document.get("keys")?.as_array().map(Vec::len)
}
