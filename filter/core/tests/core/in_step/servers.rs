//! Another list of servers while the filter serves.

use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::Verdict;

use super::stage::{
    BOTH, Control, KUBE, add_worker, envoy, everywhere, fresh, own_servers, polls, refusal, seconds,
};
use crate::host::{ISSUER, START_MS, token};

const ONE: &str = r#"{"servers": [{"name": "remote", "path_prefix": "/remote",
     "auth": {"kind": "exchange", "issuer": "https://remote.example.com", "required_audiences": ["rkube"],
              "subject_issuer": "https://dex.example.com"}}]}"#;

#[test]
fn a_server_that_control_adds_is_protected_and_one_that_it_removes_passes_again() {
    let (mut envoy, mut control) = (envoy(2), Control::new());
    control.servers = ONE.to_owned();
    seconds(&mut envoy, &mut control, 2);
    let send = |envoy: &mut crate::host::Envoy| refusal(&envoy.send(1, KUBE, None, None).1);
    assert_eq!(send(&mut envoy), None, "no server of that path");
    control.publish(BOTH);
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(send(&mut envoy).as_deref(), Some("missing_bearer"));
    control.publish(ONE);
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(send(&mut envoy), None);
    control.publish(r#"{"servers": []}"#);
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(refusal(&envoy.send(1, "/remote", None, None).1), None);
}

#[test]
fn a_list_with_one_server_at_fault_is_refused_as_a_whole_and_the_one_before_stays() {
    let (mut envoy, mut control) = (envoy(2), Control::new());
    seconds(&mut envoy, &mut control, 2);
    control.publish(&BOTH.replace("/remote\"", "/remote*\""));
    seconds(&mut envoy, &mut control, 30);
    assert_eq!(everywhere(&mut envoy, &fresh()), vec![None; 2]);
    assert_eq!(
        refusal(&envoy.send(0, "/remote/mcp", None, None).1).as_deref(),
        Some("missing_bearer")
    );
    let refused = envoy
        .host
        .count_of("tokenward.server=-;outcome=servers_refused.state_polls_total");
    assert_eq!(refused, 1, "the same list is not fetched again");
    let warns = envoy.host.lines_at(Level::Warn);
    let of_list: Vec<_> = warns
        .iter()
        .filter(|line| line.starts_with("servers refused"))
        .collect();
    assert_eq!(of_list.len(), 1);
    assert!(of_list[0].contains("servers[1].path_prefix"), "{of_list:?}");
    control.publish(ONE);
    seconds(&mut envoy, &mut control, 3);
    assert_eq!(
        refusal(&envoy.send(0, KUBE, None, None).1),
        None,
        "the next one is in force"
    );
}

#[test]
fn a_server_of_the_configuration_itself_wins_over_one_that_control_publishes() {
    let (mut envoy, mut control) = (envoy(0), Control::new());
    add_worker(&mut envoy, 1, &own_servers());
    control.servers = BOTH
        .replace("\"kube\"", "\"another\"")
        .replace("\"remote\"", "\"third\"");
    seconds(&mut envoy, &mut control, 2);
    assert_eq!(everywhere(&mut envoy, &fresh()), [None]);
}

#[test]
fn what_waits_for_a_server_that_changes_is_refused_and_what_waits_for_another_goes_on() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    seconds(&mut envoy, &mut control, 2);
    let stale = token(ISSUER, "kube", "alice", -5);
    let (changed, verdict) = envoy.send(0, KUBE, Some(&stale), None);
    assert_eq!(verdict, Verdict::Pause);
    let (unchanged, verdict) = envoy.send(0, "/remote/mcp", Some(&fresh()), None);
    assert_eq!(verdict, Verdict::Pause);
    control.publish(&BOTH.replace("[\"kube\"]", "[\"kube\", \"more\"]"));
    seconds(&mut envoy, &mut control, 3);
    let replies = envoy.host.replies.borrow().clone();
    assert_eq!(replies.len(), 1);
    assert_eq!((replies[0].0, replies[0].1.status), (changed, 503));
    assert_eq!(replies[0].1.details, "tokenward_busy");
    envoy.answer(0, 2, &token(crate::host::REMOTE, "rkube", "alice", 1_800));
    assert_eq!(envoy.host.resumed.borrow()[0].0, unchanged);
    // The late answer for the changed server resumes nothing.
    envoy.answer(0, 1, &fresh());
    assert_eq!(envoy.host.resumed.borrow().len(), 1);
}

#[test]
fn replacements_of_unchanged_servers_outlive_a_new_list_and_those_of_changed_ones_do_not() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    seconds(&mut envoy, &mut control, 2);
    let stale = token(ISSUER, "kube", "alice", -5);
    let home = fresh();
    assert_eq!(envoy.send(0, KUBE, Some(&stale), None).1, Verdict::Pause);
    envoy.answer(0, 1, &home);
    assert_eq!(envoy.send(0, "/remote", Some(&home), None).1, Verdict::Pause);
    envoy.answer(0, 2, &token(crate::host::REMOTE, "rkube", "alice", 1_800));
    control.publish(&BOTH.replace(
        "\"path_prefix\": \"/kubernetes\"",
        "\"path_prefix\": \"/kubernetes/mcp\"",
    ));
    seconds(&mut envoy, &mut control, 3);
    assert!(matches!(
        envoy.send(0, "/remote", Some(&home), None).1,
        Verdict::ContinueWith(_)
    ));
    assert_eq!(envoy.send(0, KUBE, Some(&stale), None).1, Verdict::Pause);
    assert_eq!(envoy.calls(), 3);
}

#[test]
fn labels_are_bounded_however_often_the_names_change() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    for round in 0..6 {
        let servers: Vec<String> = (0..1_000)
            .map(|at| {
                let auth = format!(r#"{{"kind": "forward", "issuer": "{ISSUER}"}}"#);
                format!(r#"{{"name": "s-{round}-{at}", "path_prefix": "/s/{at}", "auth": {auth}}}"#)
            })
            .collect();
        control.publish(&format!(r#"{{"servers": [{}]}}"#, servers.join(",")));
        seconds(&mut envoy, &mut control, 3);
        for at in 0..1_000 {
            envoy.send(0, &format!("/s/{at}"), Some(&fresh()), None);
        }
    }
    let counts = envoy.host.counts.borrow();
    let labels = counts.keys().filter(|name| name.contains("outcome=forwarded"));
    assert_eq!(labels.count(), 4_096 + 1);
    let of_none = counts["tokenward.server=-;outcome=forwarded;mcp_method=none.requests_total"];
    assert_eq!(of_none, 6_000 - 4_096);
    assert!(polls(&envoy.host) < 30, "{START_MS}");
}
