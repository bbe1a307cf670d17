//! Objects as the API server has them.

use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::Object;
use crate::kind::Kind;
use crate::leader::{LEASE_SECONDS, LeaseName, LeaseRecord};
use crate::report::{ConditionPatch, EventNote, MANAGER};
use crate::resource::CONDITION;

/// The present time with microseconds, as `MicroTime` is written.
pub(super) fn now() -> String {
    format!("{:.6}", Timestamp::now())
}

/// An object as it is read here; `None` if it has no name.
pub(super) fn object(found: DynamicObject) -> Option<Object> {
    let metadata = found.metadata;
    Some(Object {
        name: metadata.name?,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version.unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        created_at_seconds: metadata.creation_timestamp.map_or(0, |time| time.0.as_second()),
        body: found.data,
    })
}

/// The served versions in an `APIGroup`.
pub(super) fn versions(group: &Value) -> Vec<String> {
    let versions = group.get("versions").and_then(Value::as_array);
    let names = versions
        .into_iter()
        .flatten()
        .filter_map(|version| version.get("version")?.as_str());
    names.map(str::to_owned).collect()
}

/// Whether `status.conditions` of a kind is a map by `type` in the OpenAPI document of its version.
pub(super) fn has_shared_conditions(document: &Value, kind: &Kind, version: &str) -> bool {
    let Some(schemas) = document.pointer("/components/schemas").and_then(Value::as_object) else {
        return false;
    };
    let is_of_kind = |schema: &&Value| {
        let kinds = schema
            .get("x-kubernetes-group-version-kind")
            .and_then(Value::as_array);
        kinds.into_iter().flatten().any(|of| {
            let text = |name: &str| of.get(name).and_then(Value::as_str);
            (text("group"), text("version"), text("kind"))
                == (Some(kind.group), Some(version), Some(kind.name))
        })
    };
    let conditions = schemas
        .values()
        .find(is_of_kind)
        .and_then(|schema| schema.pointer("/properties/status/properties/conditions"));
    conditions.is_some_and(|conditions| {
        conditions.get("x-kubernetes-list-type").and_then(Value::as_str) == Some("map")
            && conditions.get("x-kubernetes-list-map-keys") == Some(&json!(["type"]))
    })
}

/// The body of a server-side apply of our condition.
pub(super) fn condition_body(patch: &ConditionPatch, now: &str) -> Value {
    let kind = patch.resource.kind;
    // `metav1.Time` has whole seconds.
    let seconds = format!("{}Z", now.split('.').next().unwrap_or(now));
    json!({
        "apiVersion": format!("{}/{}", kind.group, patch.version),
        "kind": kind.name,
        "metadata": {
            "name": patch.resource.name,
            "namespace": patch.resource.namespace,
            "uid": patch.uid,
        },
        "status": {"conditions": [{
            "type": CONDITION,
            "status": if patch.is_true { "True" } else { "False" },
            "reason": patch.reason,
            "message": patch.message,
            "observedGeneration": patch.generation,
            "lastTransitionTime": patch.since.as_ref().unwrap_or(&seconds),
        }]},
    })
}

/// A new Event.
pub(super) fn event_body(event: &EventNote, instance: &str, now: &str) -> Value {
    let kind = event.resource.kind;
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event.name, "namespace": event.resource.namespace},
        "eventTime": now,
        "type": if event.is_warning { "Warning" } else { "Normal" },
        "reason": event.reason,
        "action": "Protect",
        "note": event.note,
        "reportingController": MANAGER,
        "reportingInstance": instance,
        "regarding": {
            "apiVersion": format!("{}/{}", kind.group, event.version),
            "kind": kind.name,
            "namespace": event.resource.namespace,
            "name": event.resource.name,
            "uid": event.uid,
        },
    })
}

/// What changes in an Event that is published again. Its count is not exact: a leader does not know what others counted.
pub(super) fn repeated_event_body(now: &str) -> Value {
    json!({"series": {"count": 2, "lastObservedTime": now}})
}

/// A Lease as it is read here.
pub(super) fn lease(found: &DynamicObject) -> LeaseRecord {
    let spec = found.data.get("spec");
    let holder = spec.and_then(|spec| spec.get("holderIdentity")?.as_str());
    let transitions = spec.and_then(|spec| spec.get("leaseTransitions")?.as_i64());
    LeaseRecord {
        resource_version: found.metadata.resource_version.clone(),
        holder: holder.filter(|holder| !holder.is_empty()).map(str::to_owned),
        transitions: transitions
            .and_then(|count| count.try_into().ok())
            .unwrap_or_default(),
    }
}

/// A Lease as it is written.
pub(super) fn lease_body(name: &LeaseName, record: &LeaseRecord, now: &str) -> Value {
    let mut metadata = json!({"name": name.name, "namespace": name.namespace});
    if let Some(version) = &record.resource_version {
        metadata["resourceVersion"] = json!(version);
    }
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": LEASE_SECONDS,
            "leaseTransitions": record.transitions,
            "renewTime": now,
        },
    })
}
