//! What `proxy_get_property` finds, in Envoy 1.40's names and encodings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::headers::Headers;
use super::wire;

/// Properties by path, and the route's metadata as a tree.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    leaves: BTreeMap<Vec<String>, Vec<u8>>,
    route_metadata: Value,
}

impl Properties {
    /// Nothing at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one property, such as `["xds", "route_name"]`, to raw bytes.
    pub fn set(&mut self, path: &[&str], value: impl Into<Vec<u8>>) {
        self.leaves
            .insert(path.iter().map(|part| (*part).to_owned()).collect(), value.into());
    }

    /// Sets `xds.route_metadata.filter_metadata`: a JSON object of namespaces.
    pub fn set_route_metadata(&mut self, filter_metadata: Value) {
        self.route_metadata = filter_metadata;
    }

    /// Sets the metadata that Envoy Gateway gives a route whose HTTPRoute has these annotations (their names
    /// without the `gateway.envoyproxy.io/` prefix).
    pub fn set_route_annotations(&mut self, annotations: &[(&str, &str)]) {
        let annotations: serde_json::Map<String, Value> = annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        self.set_route_metadata(serde_json::json!({
            "envoy-gateway": {"resources": [{"kind": "HTTPRoute", "annotations": annotations}]}
        }));
    }

    /// The property at `path`; `None` for what is absent or empty.
    #[must_use]
    pub fn get(&self, path: &[String]) -> Option<Vec<u8>> {
        if let Some(value) = self.leaves.get(path) {
            return Some(value.clone());
        }
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["xds", "route_metadata", "filter_metadata", below @ ..] => {
                encode(descend(&self.route_metadata, below)?)
            }
            _ => None,
        }
    }
}

/// Whether Envoy knows this property outside any request.
pub(crate) fn known_to_root(path: &[String]) -> bool {
    match path.first().map(String::as_str) {
        Some("xds") => path.get(1).is_some_and(|part| part == "node"),
        Some(first) => first.starts_with("plugin_"),
        None => false,
    }
}

/// `request.*` of a request; repeated headers are joined with a comma.
pub(crate) fn of_request(path: &[String], request: &Headers) -> Option<Vec<u8>> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["request", "path"] => request.get(":path").map(<[u8]>::to_vec),
        ["request", "host"] => request.get(":authority").map(<[u8]>::to_vec),
        ["request", "method"] => request.get(":method").map(<[u8]>::to_vec),
        ["request", "headers", name] => {
            let values = request.all(name);
            (!values.is_empty()).then(|| values.join(&b','))
        }
        _ => None,
    }
}

fn descend<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get(*part),
        _ => None,
    })
}

fn encode(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(vec![u8::from(*flag)]),
        Value::Number(number) => Some(number.as_f64()?.to_le_bytes().to_vec()),
        Value::String(text) => Some(text.clone().into_bytes()),
        Value::Array(items) => {
            let mut list = Headers::new();
            for item in items {
                list.add(encode(item)?, "");
            }
            Some(wire::encode_pairs(&list))
        }
        Value::Object(fields) => {
            let mut map = Headers::new();
            for (name, field) in fields {
                map.add(name, encode(field)?);
            }
            Some(wire::encode_pairs(&map))
        }
    }
}
