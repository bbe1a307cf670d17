//! One resource, reduced to what can matter to a server.

use std::fmt;

use serde_json::{Map, Value};

use crate::kind::Kind;
use crate::object::Object;

/// The longest `spec` that is read, in bytes of JSON after [`prune`].
pub const MAX_SPEC_BYTES: usize = 16 * 1024;
/// The type of the condition that Tokenward writes.
pub const CONDITION: &str = "TokenwardAccepted";

/// Names a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            namespace,
            name,
        } = self;
        write!(formatter, "{} {namespace}/{name}", kind.name)
    }
}

/// The condition of Tokenward that a resource has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `status`: whether it is `True`.
    pub is_true: bool,
    /// `reason`.
    pub reason: String,
    /// `message`.
    pub message: String,
    /// `observedGeneration`.
    pub generation: i64,
    /// `lastTransitionTime`.
    pub since: String,
}

/// One resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Which one.
    pub id: ResourceId,
    /// `metadata.uid`.
    pub uid: String,
    /// The version of the API that it was read by.
    pub version: String,
    /// `metadata.creationTimestamp`, Unix seconds.
    pub created_at_seconds: i64,
    /// `metadata.generation`.
    pub generation: i64,
    /// What may matter of `spec` ([`prune`]); null where it is longer than [`MAX_SPEC_BYTES`].
    pub spec: Value,
    /// The condition that Tokenward wrote.
    pub condition: Option<Condition>,
}

impl Resource {
    /// `object` as it was read by `version` of `kind`; `None` if it has no name, namespace or UID.
    #[must_use]
    pub fn read(kind: &'static Kind, version: &str, object: &Object) -> Option<Self> {
        let spec = prune(object.body.get("spec").unwrap_or(&Value::Null));
        let is_long = spec.to_string().len() > MAX_SPEC_BYTES;
        Some(Self {
            id: ResourceId {
                kind,
                namespace: object.namespace.clone()?,
                name: object.name.clone(),
            },
            uid: object.uid.clone()?,
            version: version.to_owned(),
            created_at_seconds: object.created_at_seconds,
            generation: object.generation,
            spec: if is_long { Value::Null } else { spec },
            condition: object.body.get("status").and_then(condition),
        })
    }

    /// Whether both mean the same: the condition is ours, and its change is no change of the resource.
    #[must_use]
    pub fn means_the_same(&self, other: &Self) -> bool {
        (&self.id, &self.uid, &self.version, self.created_at_seconds)
            == (&other.id, &other.uid, &other.version, other.created_at_seconds)
            && self.spec == other.spec
            && self.generation == other.generation
    }

    /// Orders resources, the oldest first. All replicas and every restart agree on the order.
    #[must_use]
    pub fn age(&self) -> (i64, &str, &str, &'static Kind) {
        (
            self.created_at_seconds,
            &self.id.namespace,
            &self.id.name,
            self.id.kind,
        )
    }
}

/// The fields of a `spec` that can matter. What is long and cannot (pod templates, environments) is dropped, so that a list
/// of them costs little memory.
fn prune(spec: &Value) -> Value {
    const FIELDS: [&str; 8] = [
        "type",
        "url",
        "auth",
        "suspended",
        "transport",
        "protocol",
        "oidcConfig",
        "oidcConfigRef",
    ];
    let Value::Object(fields) = spec else {
        return Value::Null;
    };
    let kept = fields.iter().filter(|(name, _)| FIELDS.contains(&name.as_str()));
    Value::Object(
        kept.map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>(),
    )
}

fn condition(status: &Value) -> Option<Condition> {
    let conditions = status.get("conditions")?.as_array()?;
    let text = |condition: &Value, name: &str| condition.get(name)?.as_str().map(str::to_owned);
    let ours = conditions
        .iter()
        .find(|condition| condition.get("type").and_then(Value::as_str) == Some(CONDITION))?;
    Some(Condition {
        is_true: text(ours, "status")? == "True",
        reason: text(ours, "reason")?,
        message: text(ours, "message").unwrap_or_default(),
        generation: ours
            .get("observedGeneration")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        since: text(ours, "lastTransitionTime").unwrap_or_default(),
    })
}
