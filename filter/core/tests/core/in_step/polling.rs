//! One worker polls; another one takes over; outages change nothing.

use tokenward_filter_core::log::Level;
use tokenward_filter_core::state::lease::{LEASE_KEY, Lease, claim, note_poll};

use super::stage::{Control, add_worker, envoy, everywhere, fresh, polls, seconds, tick};
use crate::host::{HostOf, START_MS};

#[test]
fn one_of_four_workers_polls_and_all_of_them_learn() {
    let (mut envoy, mut control) = (envoy(4), Control::new());
    let token = fresh();
    let missing = Some("state_missing".to_owned());
    assert_eq!(everywhere(&mut envoy, &token), vec![missing; 4]);
    tick(&mut envoy, &mut control);
    tick(&mut envoy, &mut control);
    assert_eq!(everywhere(&mut envoy, &token), vec![None; 4]);
    assert_eq!(polls(&envoy.host), 1);
    seconds(&mut envoy, &mut control, 20);
    assert!((10..=12).contains(&polls(&envoy.host)), "{}", polls(&envoy.host));
    let taken = envoy
        .host
        .count_of("tokenward.server=-;outcome=taken.state_polls_total");
    assert_eq!(taken, polls(&envoy.host) as u64);
}

#[test]
fn another_worker_polls_when_the_one_that_did_stops() {
    let (mut envoy, mut control) = (envoy(2), Control::new());
    seconds(&mut envoy, &mut control, 4);
    let holder = |host: &crate::host::FakeHost| {
        let shared = host.shared.borrow();
        Lease::decode(&shared[LEASE_KEY].bytes).unwrap().owner
    };
    assert_eq!(holder(&envoy.host), [1; 16]);
    let before = polls(&envoy.host);
    envoy.workers.remove(0);
    seconds(&mut envoy, &mut control, 8);
    assert_eq!(holder(&envoy.host), [2; 16]);
    assert!(polls(&envoy.host) > before);
}

#[test]
fn a_clock_that_steps_back_stops_no_poll() {
    let (mut envoy, mut control) = (envoy(2), Control::new());
    seconds(&mut envoy, &mut control, 4);
    envoy.host.now_ms.set(START_MS - 86_400_000);
    let before = polls(&envoy.host);
    seconds(&mut envoy, &mut control, 4);
    assert!((1..=3).contains(&(polls(&envoy.host) - before)));
    // The worker that polled stops at the same moment.
    envoy.workers.remove(0);
    envoy.host.now_ms.set(START_MS - 2 * 86_400_000);
    let before = polls(&envoy.host);
    seconds(&mut envoy, &mut control, 2);
    assert!(polls(&envoy.host) > before);
}

#[test]
fn a_claimed_lease_keeps_others_away_and_a_failure_frees_it_after_a_backoff() {
    let envoy = envoy(0);
    let host = HostOf(std::rc::Rc::clone(&envoy.host));
    let (one, other) = ([1; 16], [2; 16]);
    assert_eq!(claim(&host, &one, 6_000, START_MS), Some(0));
    assert_eq!(claim(&host, &one, 6_000, START_MS + 10), Some(0));
    assert_eq!(claim(&host, &other, 6_000, START_MS + 6_009), None);
    assert_eq!(claim(&host, &other, 6_000, START_MS + 6_010), Some(0));
    note_poll(&host, &one, 1, START_MS + 6_010);
    assert_eq!(
        claim(&host, &one, 6_000, START_MS + 6_020),
        None,
        "no longer its own"
    );
    note_poll(&host, &other, 9, START_MS + 7_000);
    assert_eq!(claim(&host, &other, 6_000, START_MS + 11_999), None);
    assert_eq!(
        claim(&host, &one, 6_000, START_MS + 12_000),
        Some(9),
        "five seconds at the most"
    );
}

#[test]
fn the_last_state_holds_while_control_is_away_and_one_warning_a_minute_states_it() {
    let (mut envoy, mut control) = (envoy(3), Control::new());
    let token = fresh();
    seconds(&mut envoy, &mut control, 2);
    control.is_down = true;
    let before = polls(&envoy.host);
    seconds(&mut envoy, &mut control, 60);
    assert_eq!(everywhere(&mut envoy, &token), vec![None; 3]);
    let failed = polls(&envoy.host) - before;
    assert!((11..=20).contains(&failed), "{failed} polls in a minute");
    let warns = envoy.host.lines_at(Level::Warn);
    let of_state: Vec<_> = warns
        .iter()
        .filter(|line| line.starts_with("state not learned"))
        .collect();
    assert_eq!(of_state.len(), 1, "{warns:?}");
    control.is_down = false;
    seconds(&mut envoy, &mut control, 6);
    let infos = envoy.host.lines_at(Level::Info);
    let again = infos
        .iter()
        .filter(|line| line.starts_with("state learned again"));
    assert_eq!(again.count(), 1, "{infos:?}");
    assert_eq!(everywhere(&mut envoy, &token), vec![None; 3]);
}

#[test]
fn a_poll_that_is_never_answered_is_given_up() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    seconds(&mut envoy, &mut control, 1);
    let before = polls(&envoy.host);
    for _ in 0..100 {
        envoy.host.advance_ms(100);
        envoy.workers[0].on_tick();
    }
    assert!(polls(&envoy.host) - before >= 2);
    let lost = envoy
        .host
        .count_of("tokenward.server=-;outcome=unanswered.state_polls_total");
    assert!(lost >= 2, "{lost}");
}

#[test]
fn a_new_vm_starts_with_the_state_that_the_others_have_while_control_is_away() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    seconds(&mut envoy, &mut control, 2);
    control.is_down = true;
    envoy.workers.clear();
    add_worker(&mut envoy, 9, "");
    let token = fresh();
    assert_eq!(everywhere(&mut envoy, &token), vec![None], "without a tick");
}

#[test]
fn without_any_state_only_what_is_unprotected_passes() {
    let mut envoy = envoy(0);
    let listed = r#""unmatched": "refuse", "unprotected": [{"path_prefix": "/.well-known"}],"#;
    add_worker(&mut envoy, 1, listed);
    add_worker(&mut envoy, 2, &super::stage::own_servers());
    for path in ["/kubernetes/mcp", "/other"] {
        for worker in 0..2 {
            let (_, verdict) = envoy.send(worker, path, Some(&fresh()), None);
            assert_eq!(super::stage::refusal(&verdict).as_deref(), Some("state_missing"));
            assert_eq!(crate::host::status(&verdict), Some(503));
        }
    }
    let (_, verdict) = envoy.send(0, "/.well-known/x", None, None);
    assert_eq!(super::stage::refusal(&verdict), None);
    // A route that is annotated is protected, whatever its path.
    *envoy.host.annotation.borrow_mut() = Some(b"kubernetes".to_vec());
    let (_, verdict) = envoy.send(0, "/.well-known/x", None, None);
    assert_eq!(super::stage::refusal(&verdict).as_deref(), Some("state_missing"));
}

#[test]
fn a_log_that_is_not_read_to_its_end_is_no_state_yet() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    control.most = 1;
    for user in ["a", "b", "c"] {
        control.end(super::sign_outs::user(user, 1));
    }
    let token = fresh();
    tick(&mut envoy, &mut control);
    assert_eq!(everywhere(&mut envoy, &token), [Some("state_missing".to_owned())]);
    tick(&mut envoy, &mut control);
    tick(&mut envoy, &mut control);
    assert_eq!(everywhere(&mut envoy, &token), [None]);
    assert_eq!(polls(&envoy.host), 3, "one each tick");
}

#[test]
fn a_log_that_has_gone_back_is_read_again_from_its_beginning() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    control.version = 1_000;
    seconds(&mut envoy, &mut control, 3);
    control.version = 10;
    control.end(super::sign_outs::user("alice", u32::MAX - 1));
    seconds(&mut envoy, &mut control, 20);
    assert_eq!(everywhere(&mut envoy, &fresh()), [Some("signed_out".to_owned())]);
}
