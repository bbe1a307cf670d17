//! Which requests a user made: the API server's own audit log.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditedRequest {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// API group, empty for the core.
    pub group: String,
    /// Plural, with `/status` or another subresource behind it.
    pub resource: String,
    /// Empty for the whole cluster.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
    /// HTTP status.
    pub status: u16,
}

/// Every request without its content.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "None", "users": ["system:apiserver"]}, {"level": "Metadata"}],
    })
}

/// The requests for resources that `user` made, itself or impersonated, oldest first.
pub(super) fn requests_of(log: &Path, user: &str) -> anyhow::Result<Vec<AuditedRequest>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    // The last line may be half written.
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    let mut requests = Vec::new();
    for line in whole.lines() {
        let event: Value = serde_json::from_str(line).context("a line of the audit log")?;
        let by = match &event["impersonatedUser"] {
            Value::Null => &event["user"],
            impersonated => impersonated,
        };
        // A watch is logged when it begins and when it ends.
        let counts = event["stage"] == "ResponseStarted" || event["verb"] != "watch";
        if by["username"] == user && event["objectRef"].is_object() && counts {
            requests.push(read(&event));
        }
    }
    Ok(requests)
}

fn read(event: &Value) -> AuditedRequest {
    let target = &event["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut resource = text(&target["resource"]);
    if let Some(subresource) = target["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    let status = event["responseStatus"]["code"].as_u64().unwrap_or_default();
    AuditedRequest {
        verb: text(&event["verb"]),
        group: text(&target["apiGroup"]),
        resource,
        namespace: text(&target["namespace"]),
        name: text(&target["name"]),
        status: u16::try_from(status).unwrap_or_default(),
    }
}
