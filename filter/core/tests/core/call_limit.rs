//! Tokens that control has never accepted cost it a bounded number of calls, of a pair and of the whole Envoy; and a
//! user's own token among them is not delayed for long.

use tokenward_filter_core::log::Level;
use tokenward_filter_core::verdict::Verdict;
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, ISSUER, REMOTE, START_MS, home, status, token};

const KUBE: &str = "/kubernetes/mcp";
const REMOTE_PATH: &str = "/remote";
const CALL_LIMIT: &str =
    "tokenward.server=kubernetes;outcome=gated_call_limit;mcp_method=none.requests_total";

/// A token with alice's claims and another signature.
fn forged(number: usize, exp_in: i64) -> String {
    format!("{}{number:08}", home(exp_in))
}

fn made_up(number: usize, exp_in: i64) -> String {
    token(ISSUER, "kube", &format!("made-up-{number}"), exp_in)
}

/// Sends a token; a call that it causes is refused at once. Whether control was called.
fn send_and_refuse(envoy: &mut Envoy, worker: usize, path: &str, presented: &str, refusal: Refusal) -> bool {
    let before = envoy.calls();
    envoy.send(worker, path, Some(presented), None);
    for call in before..envoy.calls() {
        envoy.refuse(worker, u32::try_from(call + 1).unwrap(), refusal);
    }
    envoy.calls() > before
}

/// A tick of every worker; calls that begin with it are refused at once.
fn tick_and_refuse(envoy: &mut Envoy, refusal: Refusal) {
    for worker in 0..envoy.workers.len() {
        let before = envoy.calls();
        envoy.workers[worker].on_tick();
        for call in before..envoy.calls() {
            envoy.refuse(worker, u32::try_from(call + 1).unwrap(), refusal);
        }
    }
}

fn retry_after(verdict: &Verdict) -> u64 {
    let Verdict::Reply(reply) = verdict else {
        panic!("{verdict:?} is no reply")
    };
    let value = reply.headers.iter().find(|(name, _)| *name == "retry-after");
    value.expect("a retry-after").1.parse().expect("seconds")
}

fn is_call_limit(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Reply(reply) if reply.status == 503 && reply.body.contains("call_limit"))
}

#[test]
fn a_thousand_forged_tokens_of_one_subject_cost_six_calls_at_once_and_twelve_a_minute() {
    let mut envoy = Envoy::new(4);
    let calls_for = |envoy: &mut Envoy, numbers: std::ops::Range<usize>| {
        numbers
            .filter(|n| send_and_refuse(envoy, n % 4, KUBE, &forged(*n, -60), Refusal::SubjectRejected))
            .count()
    };
    assert_eq!(calls_for(&mut envoy, 0..1_000), 6);
    assert_eq!(envoy.host.count_of(CALL_LIMIT), 994);
    let mut later = 0;
    for second in 1..=60 {
        envoy.host.advance_ms(1_000);
        later += calls_for(&mut envoy, second * 1_000..second * 1_000 + 50);
    }
    assert_eq!(later, 12);
    let warns = envoy.host.lines_at(Level::Warn);
    assert_eq!(warns.len(), 2, "at first, and after a minute: {warns:#?}");
}

#[test]
fn the_reply_to_a_token_without_permission_names_the_call_limit_and_closes_no_gate() {
    let mut envoy = Envoy::new(1);
    for n in 0..6 {
        assert!(send_and_refuse(
            &mut envoy,
            0,
            KUBE,
            &forged(n, -60),
            Refusal::SubjectRejected
        ));
    }
    let (_, verdict) = envoy.send(0, KUBE, Some(&forged(7, -60)), None);
    assert!(is_call_limit(&verdict), "{verdict:?}");
    assert_eq!(retry_after(&verdict), 1);
    // A refused one still gets control's refusal.
    let (_, verdict) = envoy.send(0, KUBE, Some(&forged(5, -60)), None);
    assert_eq!(status(&verdict), Some(401));
    envoy.host.advance_ms(1_000);
    assert_eq!(
        envoy.send(0, KUBE, Some(&forged(7, -60)), None).1,
        Verdict::Pause,
        "it came back"
    );
}

#[test]
fn forged_tokens_that_return_share_the_reserve() {
    let mut envoy = Envoy::new(1);
    let mut calls = 0;
    for _ in 0..60 {
        for n in 0..100 {
            calls += usize::from(send_and_refuse(
                &mut envoy,
                0,
                KUBE,
                &forged(n, -60),
                Refusal::SubjectRejected,
            ));
        }
        envoy.host.advance_ms(1_000);
    }
    // Ten at once, twelve a minute, and the probes of the four gates that the pair remembers.
    assert!((18..=22 + 4 * 6).contains(&calls), "{calls}");
}

#[test]
fn forged_tokens_near_their_expiry_and_rejected_ones_cost_no_more_calls_than_stale_ones() {
    let mut envoy = Envoy::new(1);
    for n in 0..1_000 {
        assert_eq!(
            envoy.send(0, KUBE, Some(&forged(n, 100)), None).1,
            Verdict::Continue
        );
    }
    tick_and_refuse(&mut envoy, Refusal::SubjectRejected);
    assert_eq!(envoy.calls(), 6, "fetched ahead");

    let mut envoy = Envoy::new(1);
    for n in 0..1_000 {
        let (stream, verdict) = envoy.send(0, KUBE, Some(&forged(n, 3_600)), None);
        assert_eq!(verdict, Verdict::Continue);
        envoy.respond(stream, 401, false);
        tick_and_refuse(&mut envoy, Refusal::SubjectRejected);
    }
    assert_eq!(envoy.calls(), 6, "rejected by the server");
    // Presented again they are not forwarded, and cause no more calls than others.
    for n in 500..1_000 {
        send_and_refuse(&mut envoy, 0, KUBE, &forged(n, 3_600), Refusal::SubjectRejected);
    }
    assert_eq!(envoy.calls(), 6);

    let mut envoy = Envoy::new(1);
    for n in 0..1_000 {
        send_and_refuse(
            &mut envoy,
            0,
            REMOTE_PATH,
            &forged(n, 3_600),
            Refusal::SubjectRejected,
        );
    }
    assert_eq!(
        envoy.calls(),
        6,
        "fresh ones at a server whose tokens are exchanged"
    );
}

#[test]
fn made_up_subjects_cost_the_whole_envoy_a_bounded_number_of_calls() {
    let mut envoy = Envoy::new(4);
    let calls_for = |envoy: &mut Envoy, numbers: std::ops::Range<usize>| {
        numbers
            .filter(|n| send_and_refuse(envoy, n % 4, KUBE, &made_up(*n, -60), Refusal::SubjectRejected))
            .count()
    };
    let at_once = calls_for(&mut envoy, 0..3_000);
    assert!((185..=200).contains(&at_once), "{at_once}");
    let mut later = 0;
    for second in 1..=10 {
        envoy.host.advance_ms(1_000);
        later += calls_for(&mut envoy, second * 10_000..second * 10_000 + 500);
    }
    assert!((780..=840).contains(&later), "{later} in ten seconds");
    // One WARN for each of the pairs that control has refused, and one for all that were denied a call.
    let warns = envoy.host.lines_at(Level::Warn);
    let limit = warns.iter().filter(|line| line.contains("call_limit"));
    assert_eq!(limit.count(), 1);
}

#[test]
fn a_users_first_token_among_forged_ones_of_the_same_subject_gets_a_call_when_it_returns() {
    for (path, exp_in, answer) in [
        (KUBE, -60, home(1_800)),
        (REMOTE_PATH, 3_600, token(REMOTE, "rkube", "alice-there", 1_800)),
    ] {
        let mut envoy = Envoy::new(1);
        let flood = |envoy: &mut Envoy, seconds: std::ops::Range<usize>| {
            for second in seconds {
                for n in 0..200 {
                    let presented = forged(second * 1_000 + n, exp_in);
                    send_and_refuse(envoy, 0, path, &presented, Refusal::SubjectRejected);
                }
                envoy.host.advance_ms(1_000);
            }
        };
        flood(&mut envoy, 0..10);
        for n in 0..10 {
            send_and_refuse(
                &mut envoy,
                0,
                path,
                &forged(99_000 + n, exp_in),
                Refusal::SubjectRejected,
            );
        }
        let (_, verdict) = envoy.send(0, path, Some(&home(exp_in)), None);
        assert!(is_call_limit(&verdict), "{verdict:?}");
        assert_eq!(retry_after(&verdict), 1);
        flood(&mut envoy, 10..11);
        assert_eq!(envoy.send(0, path, Some(&home(exp_in)), None).1, Verdict::Pause);
        let call = u32::try_from(envoy.calls()).unwrap();
        envoy.answer(0, call, &answer);
        // From then on the forged ones do not affect it, even when its replacement has expired.
        flood(&mut envoy, 11..15);
        assert!(matches!(
            envoy.send(0, path, Some(&home(exp_in)), None).1,
            Verdict::ContinueWith(_)
        ));
        envoy.host.advance_ms(1_800_000);
        flood(&mut envoy, 15..25);
        assert_eq!(envoy.send(0, path, Some(&home(exp_in)), None).1, Verdict::Pause);
    }
}

#[test]
fn a_users_first_token_among_made_up_subjects_gets_a_call_when_it_returns() {
    let mut envoy = Envoy::new(2);
    for second in 0..10 {
        for n in 0..500 {
            let presented = made_up(second * 1_000 + n, -60);
            send_and_refuse(&mut envoy, n % 2, KUBE, &presented, Refusal::SubjectRejected);
        }
        envoy.host.advance_ms(if second < 9 { 1_000 } else { 0 });
    }
    assert!(is_call_limit(&envoy.send(0, KUBE, Some(&home(-5)), None).1));
    for n in 0..500 {
        envoy.host.advance_ms(2);
        send_and_refuse(
            &mut envoy,
            n % 2,
            KUBE,
            &made_up(90_000 + n, -60),
            Refusal::SubjectRejected,
        );
    }
    assert_eq!(envoy.send(0, KUBE, Some(&home(-5)), None).1, Verdict::Pause);
}

#[test]
fn a_users_new_fresh_token_needs_no_permission() {
    let mut envoy = Envoy::new(1);
    for n in 0..1_000 {
        send_and_refuse(&mut envoy, 0, KUBE, &forged(n, -60), Refusal::SubjectRejected);
    }
    assert_eq!(envoy.send(0, KUBE, Some(&home(1_800)), None).1, Verdict::Continue);
}

#[test]
fn thousands_of_users_that_return_at_once_all_get_a_call() {
    let mut envoy = Envoy::new(4);
    // As many calls as Envoy's circuit breaker lets through are under way at each moment.
    for batch in 0..5 {
        let first = envoy.calls();
        for n in batch * 1_024..(batch + 1) * 1_024 {
            assert_eq!(
                envoy.send(n % 4, KUBE, Some(&made_up(n, -5)), None).1,
                Verdict::Pause
            );
        }
        for n in first..envoy.calls() {
            let call = u32::try_from(n + 1).unwrap();
            envoy.answer(n % 4, call, &made_up(n, 1_800));
        }
    }
    assert_eq!(envoy.host.resumed.borrow().len(), 5 * 1_024);
    assert_eq!(envoy.host.count_of(CALL_LIMIT), 0);
}

#[test]
fn ended_logins_and_an_unreachable_control_use_nothing_up() {
    for refusal in [
        Refusal::NeedsLogin,
        Refusal::UnknownSession,
        Refusal::ExchangeUnavailable,
    ] {
        let mut envoy = Envoy::new(2);
        for n in 0..3_000 {
            assert!(
                send_and_refuse(&mut envoy, n % 2, KUBE, &made_up(n, -5), refusal),
                "{refusal:?}"
            );
        }
        // Neither does one pair with many tokens.
        for n in 0..50 {
            assert!(
                send_and_refuse(&mut envoy, n % 2, KUBE, &forged(n, -5), refusal),
                "{refusal:?}"
            );
        }
    }
    let mut envoy = Envoy::new(1);
    envoy
        .host
        .call_failure
        .set(Some(tokenward_filter_core::host::CallFailure::Unavailable));
    for n in 0..3_000 {
        let (_, verdict) = envoy.send(0, KUBE, Some(&made_up(n, -5)), None);
        assert!(matches!(&verdict, Verdict::Reply(reply) if reply.body.contains("control_unreachable")));
    }
}

#[test]
fn requests_that_joined_a_call_without_permission_are_refused_with_it() {
    let mut envoy = Envoy::new(1);
    for n in 0..6 {
        send_and_refuse(&mut envoy, 0, KUBE, &forged(n, -60), Refusal::SubjectRejected);
    }
    let presented = forged(100, 100);
    assert_eq!(envoy.send(0, KUBE, Some(&presented), None).1, Verdict::Continue);
    // It becomes stale before the tick that would have started the call for the next one.
    envoy.host.now_ms.set(START_MS + 60_000 - 20_000);
    let (waiting, verdict) = envoy.send(0, KUBE, Some(&presented), None);
    assert_eq!(verdict, Verdict::Pause);
    for n in 10..30 {
        send_and_refuse(&mut envoy, 0, KUBE, &forged(n, -60), Refusal::SubjectRejected);
    }
    let calls = envoy.calls();
    envoy.workers[0].on_tick();
    assert_eq!(envoy.calls(), calls);
    let replies = envoy.host.replies.borrow();
    let (stream, reply) = replies.last().expect("an answer");
    assert_eq!((*stream, reply.status), (waiting, 503));
    assert!(reply.body.contains("call_limit"), "{}", reply.body);
}

#[test]
fn a_clock_that_steps_back_delays_no_request() {
    let mut envoy = Envoy::new(1);
    for n in 0..1_000 {
        send_and_refuse(&mut envoy, 0, KUBE, &made_up(n, -7_200), Refusal::SubjectRejected);
        send_and_refuse(&mut envoy, 0, KUBE, &forged(n, -7_200), Refusal::SubjectRejected);
    }
    envoy.host.now_ms.set(START_MS - 3_600_000);
    assert_eq!(envoy.send(0, KUBE, Some(&home(-7_200)), None).1, Verdict::Pause);
}
