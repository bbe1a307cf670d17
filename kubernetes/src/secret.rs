//! The Secrets that resources name.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::object::Object;
use crate::resource::Resource;

/// The longest value that is read.
const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Values of one Secret that are read, in the order of their keys.
const MOST_VALUES: usize = 32;

/// Names a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for SecretId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// The client credentials that a resource names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// The Secret.
    pub secret: SecretId,
    /// The key of the client's identifier.
    pub client_id_key: String,
    /// The key of the client's secret.
    pub client_secret_key: String,
}

/// What is known of a Secret.
#[derive(Debug, Clone, Default)]
pub enum SecretRead {
    /// It has not been read yet.
    #[default]
    Pending,
    /// There is none.
    Absent,
    /// The API server does not let us read it; why.
    Denied(String),
    /// Its values by key; those that are no text, or too long, are left out.
    Present(BTreeMap<String, SecretString>),
}

impl PartialEq for SecretRead {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pending, Self::Pending) | (Self::Absent, Self::Absent) => true,
            (Self::Denied(one), Self::Denied(other)) => one == other,
            (Self::Present(one), Self::Present(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|((key, value), (other_key, other_value))| {
                            key == other_key && value.expose_secret() == other_value.expose_secret()
                        })
            }
            _ => false,
        }
    }
}

impl SecretRead {
    /// The values of the Secret `object`.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        let data = object.body.get("data").and_then(Value::as_object);
        let values = data.into_iter().flatten().filter_map(|(key, value)| {
            let encoded = value
                .as_str()
                .filter(|text| text.len() <= MAX_VALUE_BYTES * 4 / 3 + 4)?;
            let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
            Some((key.clone(), SecretString::from(text)))
        });
        Self::Present(values.take(MOST_VALUES).collect())
    }
}

impl SecretReference {
    /// The Secret that `resource` names, wherever it is: `spec.auth.tokenExchange.clientCredentialsSecretRef` of an enabled
    /// exchange, with the defaults of muster's CRD.
    #[must_use]
    pub fn of(resource: &Resource) -> Option<Self> {
        let exchange = resource.spec.get("auth")?.get("tokenExchange")?;
        exchange
            .get("enabled")
            .and_then(Value::as_bool)
            .filter(|enabled| *enabled)?;
        let reference = exchange.get("clientCredentialsSecretRef")?;
        let text = |name: &str| {
            reference
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        Some(Self {
            secret: SecretId {
                namespace: text("namespace").unwrap_or(&resource.id.namespace).to_owned(),
                name: text("name")?.to_owned(),
            },
            client_id_key: text("clientIdKey").unwrap_or("client-id").to_owned(),
            client_secret_key: text("clientSecretKey").unwrap_or("client-secret").to_owned(),
        })
    }

    /// Whether `resource` may use it. A Secret of another namespace is never read: a writer of resources here need not be
    /// allowed to use it, and control would send it to the endpoint that the resource names.
    #[must_use]
    pub fn is_in_the_namespace_of(&self, resource: &Resource) -> bool {
        self.secret.namespace == resource.id.namespace
    }
}
