//! The JSON reader against `serde_json`: both accept the same texts and read the same values in them.

use std::collections::BTreeMap;

use serde_json::{Number, Value};
use tokenward_protocol::json::{self as ours, Json};

/// Numbers from here on `serde_json` may call out of range; the product's reader stores every number as text.
const NEAR_THE_LARGEST_FLOAT: f64 = 1e308;
/// The error of the product's reader for nesting that `serde_json` still follows.
const TOO_DEEP: &str = "nested too deep";

/// Reads `data` as JSON, and quotes it where it is text.
pub fn json(data: &[u8]) {
    agrees(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let quoted = ours::quote(text);
        assert_eq!(
            serde_json::from_str::<String>(&quoted).ok().as_deref(),
            Some(text)
        );
        assert_eq!(
            ours::parse(quoted.as_bytes())
                .ok()
                .as_ref()
                .and_then(Json::as_text),
            Some(text)
        );
    }
}

/// Whether both readers accept `data`, or both refuse it; `false` only where they may differ.
pub(crate) fn agrees(data: &[u8]) -> bool {
    let read = ours::parse(data);
    match (&read, serde_json::from_slice::<Value>(data)) {
        (Ok(ours), Ok(theirs)) => {
            assert!(same(ours, &theirs), "{ours:?} is not {theirs:?}");
            true
        }
        (Err(bad), Err(_)) => {
            assert!(bad.at <= data.len(), "{bad} of {}", data.len());
            true
        }
        (Ok(ours), Err(error)) => {
            assert!(has_a_huge_number(ours), "only the product accepts this: {error}");
            false
        }
        (Err(bad), Ok(theirs)) => {
            assert_eq!(bad.what, TOO_DEEP, "only serde_json accepts this");
            assert!(depth(&theirs) > 64, "depth {} is refused", depth(&theirs));
            false
        }
    }
}

fn same(ours: &Json<'_>, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(ours), Value::Bool(theirs)) => ours == theirs,
        (Json::Number(ours), Value::Number(theirs)) => {
            serde_json::from_str::<Number>(ours).is_ok_and(|number| number == *theirs)
        }
        (Json::Text(ours), Value::String(theirs)) => ours == theirs,
        (Json::List(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Json::Object(members), Value::Object(theirs)) => {
            // Of several members of one name serde_json retains the last.
            let ours: BTreeMap<&str, &Json<'_>> = members
                .iter()
                .map(|(name, value)| (name.as_ref(), value))
                .collect();
            ours.len() == theirs.len()
                && ours
                    .into_iter()
                    .all(|(name, value)| theirs.get(name).is_some_and(|theirs| same(value, theirs)))
        }
        _ => false,
    }
}

fn has_a_huge_number(json: &Json<'_>) -> bool {
    match json {
        Json::Number(text) => text
            .parse::<f64>()
            .is_ok_and(|number| number.abs() >= NEAR_THE_LARGEST_FLOAT),
        Json::List(items) => items.iter().any(has_a_huge_number),
        Json::Object(members) => members.iter().any(|(_, value)| has_a_huge_number(value)),
        _ => false,
    }
}

/// How many lists and objects are inside each other, the innermost value counted.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(members) => members.values().map(depth).max(),
        _ => None,
    };
    inner.map_or(0, |inner| inner + 1)
}
