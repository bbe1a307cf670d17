//! The bounds of a list, and what counts as a change.

use serde_json::json;
use tokenward_kubernetes::collection::{Change, Collection, MOST_RESOURCES, MOST_SECRETS};
use tokenward_kubernetes::kind::Source;
use tokenward_kubernetes::{Kind, Resource};

use crate::scripted::object;

const NOW_MS: u64 = 1_800_000_000_000;

fn source() -> Source {
    Source {
        kind: Kind::find("muster.giantswarm.io", "MCPServer").expect("known"),
        namespace: Some("muster".to_owned()),
        label_selector: None,
    }
}

fn resource(name: &str, created: u64, spec: &serde_json::Value) -> Resource {
    let object = object(name, created, json!({"spec": spec}));
    Resource::read(source().kind, "v1alpha1", &object).expect("complete")
}

fn listed(resources: Vec<Resource>) -> Collection {
    let mut collection = Collection::new([source()], false, NOW_MS);
    collection.take(Change::Listed(source(), resources), NOW_MS);
    collection
}

#[test]
fn the_oldest_thousand_are_kept_whatever_is_added() {
    let count = MOST_RESOURCES + 7;
    let resources = (0..count).map(|number| {
        // The newest come first in the alphabet.
        let created = u64::try_from(count - number).expect("small");
        resource(
            &format!("server-{number:05}"),
            created,
            &json!({"url": "https://a.example.com"}),
        )
    });
    let snapshot = listed(resources.collect())
        .settled(NOW_MS + 1_000)
        .expect("settled");
    assert_eq!((snapshot.resources.len(), snapshot.omitted), (MOST_RESOURCES, 7));
    assert_eq!(snapshot.resources[0].id.name, format!("server-{:05}", count - 1));
}

#[test]
fn secrets_are_watched_only_in_the_resources_own_namespace_and_only_so_many() {
    let exchange = |secret: serde_json::Value| json!({"auth": {"tokenExchange": {"enabled": true, "clientCredentialsSecretRef": secret}}});
    let foreign = resource(
        "foreign",
        1,
        &exchange(json!({"name": "s", "namespace": "kube-system"})),
    );
    let mut collection = listed(vec![foreign]);
    assert!(collection.wanted_secrets().is_empty());
    let many = (0..MOST_SECRETS + 50).map(|number| {
        let created = u64::try_from(number).expect("small");
        resource(
            &format!("s{number}"),
            created,
            &exchange(json!({"name": format!("secret-{number}")})),
        )
    });
    let mut collection = listed(many.collect());
    assert_eq!(collection.wanted_secrets().len(), MOST_SECRETS);
}

#[test]
fn a_condition_of_ours_and_an_equal_list_are_no_change() {
    let plain = resource("a", 1, &json!({"url": "https://a.example.com"}));
    let mut collection = listed(vec![plain.clone()]);
    assert!(collection.settled(NOW_MS + 1_000).is_some());
    let condition =
        json!({"type": "TokenwardAccepted", "status": "True", "reason": "Accepted", "message": ""});
    let body = json!({"spec": {"url": "https://a.example.com"}, "status": {"conditions": [condition]}});
    let written = Resource::read(source().kind, "v1alpha1", &object("a", 1, body)).expect("complete");
    assert!(written.condition.is_some());
    collection.take(
        Change::Applied(source(), Box::new(written.clone())),
        NOW_MS + 2_000,
    );
    collection.take(Change::Listed(source(), vec![plain]), NOW_MS + 3_000);
    assert!(collection.settled(NOW_MS + 10_000).is_none());
}

#[test]
fn a_spec_that_is_too_long_is_not_kept() {
    let long = resource(
        "long",
        1,
        &json!({"url": format!("https://a.example.com/{}", "x".repeat(20_000))}),
    );
    assert!(long.spec.is_null());
    let beside = resource(
        "beside",
        1,
        &json!({"url": "https://a.example.com", "podTemplateSpec": "x".repeat(20_000)}),
    );
    assert_eq!(beside.spec, json!({"url": "https://a.example.com"}));
}

#[test]
fn a_kind_that_vanishes_for_a_moment_keeps_its_resources() {
    let mut collection = listed(vec![resource("a", 1, &json!({"url": "https://a.example.com"}))]);
    assert!(collection.settled(NOW_MS + 1_000).is_some());
    for seconds in [2, 30, 61] {
        collection.take(Change::NotInstalled(source()), NOW_MS + seconds * 1_000);
        assert!(
            collection.settled(NOW_MS + seconds * 1_000 + 500).is_none(),
            "{seconds} s"
        );
    }
    collection.take(Change::NotInstalled(source()), NOW_MS + 63_000);
    let gone = collection.settled(NOW_MS + 64_000).expect("settled");
    assert!(gone.resources.is_empty());
}
