//! What is read of objects, kinds and Secrets.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokenward_kubernetes::backoff::Backoff;
use tokenward_kubernetes::kind::KINDS;
use tokenward_kubernetes::secret::SecretRead;
use tokenward_kubernetes::{Kind, Resource, SecretReference, Selection};

use crate::scripted::object;

#[test]
fn the_preferred_version_that_is_served_is_used() {
    let kind = Kind::find("toolhive.stacklok.dev", "MCPRemoteProxy").expect("known");
    let served = |versions: &[&str]| {
        versions
            .iter()
            .map(|version| (*version).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(kind.version(&served(&["v1alpha1", "v1beta1"])), Some("v1beta1"));
    assert_eq!(kind.version(&served(&["v1alpha1"])), Some("v1alpha1"));
    assert_eq!(kind.version(&served(&["v2"])), None);
    let names: BTreeSet<_> = KINDS.iter().map(|kind| (kind.group, kind.name)).collect();
    assert_eq!(names.len(), KINDS.len());
}

#[test]
fn no_namespace_is_one_list_of_all() {
    let mut selection = Selection {
        kind: &KINDS[0],
        namespaces: Vec::new(),
        label_selector: None,
    };
    let namespaces: Vec<_> = selection.sources().map(|source| source.namespace).collect();
    assert_eq!(namespaces, [None]);
    selection.namespaces = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(selection.sources().count(), 2);
}

#[test]
fn a_reference_has_the_defaults_of_the_crd_and_only_an_enabled_exchange_has_one() {
    let of = |exchange: serde_json::Value| {
        let body = json!({"spec": {"auth": {"tokenExchange": exchange}}});
        SecretReference::of(&Resource::read(&KINDS[0], "v1alpha1", &object("a", 1, body)).expect("complete"))
    };
    let reference = of(json!({"enabled": true, "clientCredentialsSecretRef": {"name": "s"}})).expect("named");
    assert_eq!(reference.secret.to_string(), "muster/s");
    assert_eq!(
        (
            reference.client_id_key.as_str(),
            reference.client_secret_key.as_str()
        ),
        ("client-id", "client-secret")
    );
    assert_eq!(
        of(json!({"enabled": false, "clientCredentialsSecretRef": {"name": "s"}})),
        None
    );
    assert_eq!(of(json!({"enabled": true})), None);
}

#[test]
fn values_of_a_secret_that_are_no_text_or_too_long_are_left_out_and_none_is_printed() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let body = json!({"data": {
        "good": encode(b"hidden-value"), "binary": encode(&[0xff, 0xfe]), "long": encode(&[b'x'; 20_000]),
    }});
    let read = SecretRead::of(&object("s", 1, body));
    let SecretRead::Present(values) = &read else {
        panic!("it is there");
    };
    assert_eq!(values.keys().collect::<Vec<_>>(), ["good"]);
    assert!(!format!("{read:?}").contains("hidden-value"));
}

#[test]
fn delays_double_up_to_fifteen_seconds_and_differ_between_replicas() {
    let mut backoff = Backoff::default();
    let delays: Vec<Duration> = (0..10).map(|_| backoff.next(u16::MAX / 2)).collect();
    assert!(delays.is_sorted());
    assert!(
        delays[0] < Duration::from_secs(1) && delays[9] < Duration::from_secs(16),
        "{delays:?}"
    );
    let mut other = Backoff::default();
    let (least, most) = (other.next(0), Backoff::default().next(u16::MAX));
    assert!(least < most);
    backoff.reset();
    assert_eq!(backoff.next(0), least);
}
