//! The simulation at a small scale, in which every incident happens: same options, same run; promises hold.

mod page;

use tokenward_simulation::{Incident, IssuerLimits, Options, Report, simulate};

/// Twenty workers, two hundred sessions and five servers for twelve minutes, in which tokens live for five.
fn small() -> Options {
    Options {
        envoys: 5,
        sessions: 200,
        servers: 5,
        minutes: 12,
        replicas: 3,
        token_life_seconds: 300,
        listener_seconds: 120,
        own_share: 0.2,
        ended_share: 0.02,
        ..Options::default()
    }
}

fn run(options: &Options) -> Report {
    simulate(options, &|_| {}).expect("a run")
}

fn whole(options: &Options) -> Report {
    let report = run(options);
    assert!(report.is_whole(), "{:?}", report.broken);
    report
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another_one() {
    let first = run(&small());
    let second = run(&small());
    let other = run(&Options { seed: 2, ..small() });
    assert_eq!((&first.digest, &first.sum), (&second.digest, &second.sum));
    assert_ne!(first.digest, other.digest);
    assert_eq!(first.minutes.len(), 12);
}

#[test]
fn threads_change_nothing_of_a_run() {
    let groups = Options {
        envoys: 18,
        ..small()
    };
    let one = run(&Options {
        threads: 1,
        ..groups.clone()
    });
    let three = run(&Options { threads: 3, ..groups });
    assert_eq!((&one.digest, &one.sum), (&three.digest, &three.sum));
}

#[test]
fn every_incident_happens_and_no_promise_breaks() {
    let report = whole(&small());
    let seen = [
        "forwarded",
        "replaced_from_cache",
        "replaced",
        "refused_401",
        "refused_503",
        "gated",
        "server_accepted",
        "server_rejected",
        "warn_filter",
        "calls_stale",
        "calls_near_expiry",
        "calls_rejected",
        "polls",
        "answered_token",
        "answered_not",
        "refused_store",
        "refused_login",
        "refreshes",
        "refreshes_of_rejected",
        "refreshes_ended",
        "exchanges",
        "store_reads",
        "store_writes",
        "store_leases",
        "warn_control",
        "logins",
    ];
    let missing: Vec<&str> = seen.into_iter().filter(|name| report.count(name) == 0).collect();
    assert!(missing.is_empty(), "{missing:?} in {:?}", report.sum);
    assert!(report.fresh_after_seconds.is_some(), "{:?}", report.minutes);
}

#[test]
fn without_an_incident_each_login_is_refreshed_once_for_each_life_of_its_token() {
    let options = Options {
        incidents: Vec::new(),
        ended_share: 0.0,
        own_share: 0.0,
        ..small()
    };
    let report = whole(&options);
    // Twelve minutes: between two and four lives of five minutes, each renewed up to a third ahead.
    let sessions = u64::from(options.sessions);
    let refreshes = report.count("refreshes");
    assert!((2 * sessions..=4 * sessions).contains(&refreshes), "{refreshes}");
    assert_eq!(report.count("refreshes_of_rejected"), 0);
    assert_eq!(report.count("refreshes_again"), 0);
    assert_eq!(
        (report.count("warn_filter"), report.count("warn_control")),
        (0, 0)
    );
    assert_eq!(report.count("refused_401"), 0);
}

#[test]
fn after_an_idle_night_the_limits_decide_how_long_it_takes_until_all_tokens_are_fresh() {
    let limited = |per_second: u32| {
        let options = Options {
            sessions: 600,
            minutes: 6,
            limits: IssuerLimits {
                per_second,
                burst: 2,
                ..IssuerLimits::default()
            },
            incidents: vec![Incident::IdleNight],
            token_life_seconds: 1_800,
            ended_share: 0.0,
            ..small()
        };
        whole(&options)
    };
    let (slow, fast) = (limited(1), limited(50));
    assert!(slow.count("held_back_rate") > 300, "{:?}", slow.sum);
    assert_eq!(fast.count("held_back_rate"), 0);
    // Three replicas with one call a second each.
    let seconds = slow
        .fresh_after_seconds
        .expect("all are fresh within six minutes");
    assert!((195..=260).contains(&seconds), "{seconds}");
    assert!(fast.fresh_after_seconds.is_some_and(|seconds| seconds <= 130));
    assert_eq!(slow.count("refreshes"), 600);
    assert_eq!(fast.count("refreshes"), 600);
}

#[test]
fn a_restart_of_all_replicas_presents_no_refresh_token_twice_but_those_whose_replica_died() {
    let options = Options {
        incidents: vec![Incident::IdleNight, Incident::Restart],
        sessions: 1_600,
        minutes: 5,
        // So slow that each replica has as many calls under way as it may when it dies.
        issuer_per_second: 12,
        token_life_seconds: 1_800,
        ended_share: 0.0,
        ..small()
    };
    let report = whole(&options);
    let again = report.count("refreshes_again");
    // Each of three replicas has at most 32 calls under way.
    assert!((1..=96).contains(&again), "{again}");
    assert_eq!(report.count("logins_lost"), 0);
}
