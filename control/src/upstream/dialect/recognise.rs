//! Recognises the kind of an issuer: by its address, or by its discovery document.

use serde_json::{Map, Value};
use url::Url;

use super::Dialect;
use super::rules::{DialectRules, DocumentSign};

impl Dialect {
    /// The kind of the issuer with this identifier, or with a token endpoint at this address; `None` if it shows none.
    #[must_use]
    pub fn of_address(url: &Url) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| is_at(dialect.rules(), url))
    }

    /// The kind of the issuer with this discovery document; `None` if it shows none.
    #[must_use]
    pub fn of_document(document: &Map<String, Value>) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|dialect| shows(dialect.rules(), document))
    }
}

fn is_at(rules: &DialectRules, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_host = |known: &&str| match known.strip_prefix('.') {
        Some(_) => host.ends_with(*known),
        None => host == *known,
    };
    rules.hosts.iter().any(is_host) || rules.path.is_some_and(|part| url.path().contains(part))
}

fn shows(rules: &DialectRules, document: &Map<String, Value>) -> bool {
    let holds = |sign: &DocumentSign| match sign {
        DocumentSign::Has(name) => document.contains_key(*name),
        DocumentSign::EndsWith(name, end) => (document.get(*name))
            .and_then(Value::as_str)
            .is_some_and(|text| text.ends_with(end)),
    };
    !rules.document.is_empty() && rules.document.iter().all(holds)
}
