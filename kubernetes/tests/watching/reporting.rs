//! What is written to resources, and how often.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokenward_kubernetes::api::Api;
use tokenward_kubernetes::leader::LeaseName;
use tokenward_kubernetes::report::Reports;
use tokenward_kubernetes::{Kind, LeaseSettings, Outcome, Resource, Selection, Settings, Verdict, Watching};

use crate::scripted::{GROUP, Scripted, object};

const NEVER_SHARED: &dyn Fn(&'static Kind, &str) -> bool = &|_, _| false;
const SHARED: &dyn Fn(&'static Kind, &str) -> bool = &|_, _| true;

fn verdict(name: &str, generation: i64, outcome: Outcome, message: &str) -> Verdict {
    let mut object = object(name, 1, json!({"spec": {"url": "https://a.example.com"}}));
    object.generation = generation;
    let kind = Kind::find(GROUP, "MCPServer").expect("known");
    Verdict {
        resource: Resource::read(kind, "v1alpha1", &object).expect("complete"),
        outcome,
        reason: "Invalid",
        message: message.to_owned(),
    }
}

#[test]
fn a_fault_is_one_event_and_again_after_half_an_hour_and_its_end_is_one_more() {
    let mut reports = Reports::default();
    let bad = [verdict("a", 1, Outcome::Rejected, "wrong")];
    let mut published = Vec::new();
    for second in 0..3_700 {
        let plan = reports.plan(&bad, NEVER_SHARED, second * 1_000);
        assert!(plan.conditions.is_empty());
        published.extend(plan.events);
    }
    assert_eq!(published.len(), 3);
    // By their content, so that the next leader finds them.
    assert!(
        published
            .iter()
            .all(|event| event.name == published[0].name && event.is_warning)
    );
    let good = [verdict("a", 2, Outcome::Accepted, "fine")];
    let mut ends = Vec::new();
    for second in 3_700..8_000 {
        ends.extend(reports.plan(&good, NEVER_SHARED, second * 1_000).events);
    }
    assert_eq!(ends.len(), 1);
    assert!(!ends[0].is_warning);
}

#[test]
fn a_resource_that_is_edited_every_second_gets_one_event_and_one_condition_a_minute() {
    let mut reports = Reports::default();
    let (mut events, mut conditions) = (0, 0);
    for second in 0..600_i64 {
        let bad = [verdict(
            "a",
            second,
            Outcome::Rejected,
            &format!("wrong in edit {second}"),
        )];
        let plan = reports.plan(&bad, SHARED, u64::try_from(second).expect("positive") * 1_000);
        events += plan.events.len();
        conditions += plan.conditions.len();
    }
    assert_eq!((events, conditions), (10, 10));
}

#[test]
fn a_thousand_faults_are_written_in_bounded_passes() {
    let verdicts: Vec<Verdict> = (0..1_000)
        .map(|number| verdict(&format!("server-{number}"), 1, Outcome::Rejected, "wrong"))
        .collect();
    let mut reports = Reports::default();
    let mut written = 0;
    for second in 0..40 {
        let plan = reports.plan(&verdicts, SHARED, second * 1_000);
        let count = plan.events.len() + plan.conditions.len();
        assert!(count <= 51, "{count}");
        written += count;
    }
    assert_eq!(written, 2_000);
}

#[test]
fn a_condition_that_is_there_is_not_written_and_an_ignored_resource_gets_none() {
    let mut reports = Reports::default();
    let plan = reports.plan(&[verdict("a", 1, Outcome::Ignored, "no token")], SHARED, 0);
    assert!(plan.conditions.is_empty() && plan.events.is_empty());
    let plan = reports.plan(&[verdict("b", 1, Outcome::Accepted, "fine")], SHARED, 0);
    assert_eq!(plan.conditions.len(), 1);
    let mut written = verdict("b", 1, Outcome::Accepted, "fine");
    written.resource.condition = Some(tokenward_kubernetes::resource::Condition {
        is_true: true,
        reason: "Invalid".to_owned(),
        message: "fine".to_owned(),
        generation: 1,
        since: "2026-01-01T00:00:00Z".to_owned(),
    });
    assert!(
        Reports::default()
            .plan(&[written.clone()], SHARED, 0)
            .conditions
            .is_empty()
    );
    // The time of the last transition stays while the status does.
    written.message = "still fine".to_owned();
    let plan = Reports::default().plan(&[written], SHARED, 0);
    assert_eq!(plan.conditions[0].since.as_deref(), Some("2026-01-01T00:00:00Z"));
}

#[test]
fn a_long_message_is_shortened_and_an_events_name_fits() {
    let name = "x".repeat(253);
    let long = verdict(&name, 1, Outcome::Rejected, &"é".repeat(2_000));
    let plan = Reports::default().plan(&[long], NEVER_SHARED, 0);
    assert!(plan.events[0].note.len() <= 1_000 && plan.events[0].name.len() <= 253);
}

fn replica(api: &Arc<Scripted>, name: &str) -> Watching {
    let settings = Settings {
        selections: vec![Selection {
            kind: Kind::find(GROUP, "MCPServer").expect("known"),
            namespaces: vec!["muster".to_owned()],
            label_selector: None,
        }],
        kubeconfig: None,
        lease: Some(LeaseSettings {
            name: LeaseName {
                namespace: "mcp".to_owned(),
                name: "tokenward".to_owned(),
            },
            identity: name.to_owned(),
        }),
        has_earlier_list: false,
    };
    Watching::with_api(&settings, Arc::clone(api) as Arc<dyn Api>)
}

/// Judges everything that is watched as bad.
async fn judge(watching: &Watching) {
    let mut lists = watching.snapshots();
    let list = lists
        .wait_for(|list| list.as_ref().is_some_and(|list| !list.resources.is_empty()))
        .await;
    let list = list.expect("the watches run").clone().expect("a list");
    let verdict = |resource: &Resource| Verdict {
        resource: resource.clone(),
        outcome: Outcome::Rejected,
        reason: "Invalid",
        message: "wrong".to_owned(),
    };
    watching.report(list.resources.iter().map(verdict).collect());
}

#[tokio::test(start_paused = true)]
async fn one_of_three_replicas_writes_and_another_takes_over_when_it_dies() {
    let api = Scripted::with_conditions(true);
    api.apply("a", json!({"spec": {"url": "https://a.example.com"}}));
    let mut replicas: Vec<_> = ["one", "two", "three"]
        .map(|name| (name, replica(&api, name)))
        .into();
    for (_, watching) in &replicas {
        judge(watching).await;
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((api.events().len(), api.patches().len()), (1, 1));
    let first = api.holder().expect("a leader");
    replicas.retain(|(name, _)| *name != first);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let second = api.holder().expect("a leader");
    assert_ne!(second, first);
    // The next leader says the same under the same name, which the API server has.
    let events = api.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].name, events[1].name);
}
