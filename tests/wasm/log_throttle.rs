//! One WARN per pair and minute for the whole Envoy, DEBUG in between, and no refusal goes uncounted.

use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::LogLevel;
use tokenward_wasm_host::story::{FilterWorld, exp_in, forward, millis, secs, token};

use crate::fixtures::{assert_not_logged, assert_sound, kubernetes, lines, moments_ms, number_in, send_on};

/// Every refusal is told once: in a WARN of its own, or in the suppressed count of a later WARN or INFO.
fn told(world: &FilterWorld) -> u32 {
    let warns = world.warns();
    let suppressed =
        |lines: &[String]| -> u32 { lines.iter().map(|line| number_in(line, "suppressed")).sum() };
    u32::try_from(warns.len()).unwrap() + suppressed(&warns) + suppressed(&world.infos())
}

#[test]
fn three_minutes_of_hammering_on_four_workers_warn_once_a_minute_and_count_every_refusal() {
    for refusal in [Refusal::NeedsLogin, Refusal::IssuerUnavailable] {
        let world = kubernetes().workers(4).start();
        world.control().refuses(refusal);
        let stale = world.mint(&token(exp_in(-5)));
        for n in 0..1_800 {
            let sent = send_on(&world, n % 4, &stale);
            assert_eq!(sent.stream().local_replies(), 1);
            world.advance(millis(100));
        }
        let moments = moments_ms(&world, LogLevel::Warn);
        assert!((2..=3).contains(&moments.len()), "{moments:?}");
        assert!(
            moments.windows(2).all(|pair| pair[1] - pair[0] >= 60_000),
            "{moments:?}"
        );
        assert_eq!(world.debugs().len(), 1_800 - moments.len());
        assert_eq!(world.infos().len(), 0);
        // A new login tells the rest: the counts add up to every refusal there was.
        assert!(send_on(&world, 1, &world.mint(&token(exp_in(1800)))).is_forwarded());
        assert_eq!(world.infos().len(), 1);
        assert_eq!(told(&world), 1_800);
        assert_eq!(world.upstream_requests().len(), 1);
        assert_sound(&world);
    }
}

#[test]
fn requests_that_waited_for_one_refusal_are_one_line_that_counts_them() {
    let world = kubernetes().start();
    world.control().refuses(Refusal::NeedsLogin).takes_ms(500);
    let stale = world.mint(&token(exp_in(-5)));
    let sent: Vec<_> = (0..30).map(|_| send_on(&world, 0, &stale)).collect();
    world.advance(secs(1));
    assert!(sent.iter().all(|sent| sent.stream().local_replies() == 1));
    assert_eq!(lines(&world), (1, 0, 0));
    assert_eq!(number_in(&world.warns()[0], "requests"), 30);
    assert!(send_on(&world, 0, &world.mint(&token(exp_in(1800)))).is_forwarded());
    assert_eq!(number_in(&world.infos()[0], "suppressed"), 29);
    assert_eq!(told(&world), 30);
}

#[test]
fn each_session_and_each_server_is_a_pair_of_its_own() {
    let world = kubernetes().workers(2).server(forward("prometheus")).start();
    world.control().refuses(Refusal::NeedsLogin);
    let stale = world.mint(&token(exp_in(-5)));
    let pairs = [
        ("kubernetes", "s1"),
        ("kubernetes", "s2"),
        ("prometheus", "s1"),
        ("prometheus", "s2"),
    ];
    for n in 0..20 {
        for (server, session) in pairs {
            let sent = world
                .request(server)
                .bearer(&stale)
                .session(session)
                .on_worker(n % 2)
                .send();
            assert_eq!(sent.status(), Some(401));
        }
    }
    let warns = world.warns();
    assert_eq!((warns.len(), world.debugs().len()), (4, 76));
    for server in ["kubernetes", "prometheus"] {
        let of_server = warns
            .iter()
            .filter(|line| line.contains(&format!("server={server} ")));
        assert_eq!(of_server.count(), 2);
    }
    let mut digests: Vec<&str> = warns
        .iter()
        .filter_map(|line| line.split_once(" pair=")?.1.split(' ').next())
        .collect();
    assert!(digests.iter().all(|digest| digest.len() == 8));
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 4);
    assert_eq!(world.upstream_requests().len(), 0);
}

#[test]
fn without_a_session_header_the_tokens_subject_makes_the_pair() {
    let world = FilterWorld::builder()
        .workers(2)
        .server(forward("kubernetes"))
        .start();
    world.control().refuses(Refusal::NeedsLogin);
    for n in 0..10_i64 {
        for user in ["user-1", "user-2"] {
            // Another token each time, but the same person: still one pair.
            let presented = token(exp_in(-5 - n)).subject(user);
            let sent = world
                .request("kubernetes")
                .bearer(presented)
                .on_worker(usize::from(n % 2 == 0))
                .send();
            assert_eq!(sent.status(), Some(401));
        }
    }
    assert_eq!(lines(&world), (2, 0, 18));
}

#[test]
fn a_storm_of_malformed_bearers_is_throttled_too_whatever_sessions_it_makes_up() {
    let bearers: [&[&str]; 2] = [&["garbage"], &["a.b.c", "a.b.c"]];
    for bearers in bearers {
        let world = kubernetes().workers(4).start();
        for n in 0..1_790 {
            let request = world
                .request("kubernetes")
                .session(&format!("s-{n}"))
                .on_worker(n % 4);
            let sent = bearers
                .iter()
                .fold(request, |request, bearer| request.bearer(*bearer))
                .send();
            assert_eq!((sent.status(), sent.stream().local_replies()), (Some(401), 1));
            world.advance(millis(100));
        }
        // At 0, 60 and 120 s; the storm ends before 180 s.
        assert_eq!(moments_ms(&world, LogLevel::Warn), [0, 60_000, 120_000]);
        assert_eq!(lines(&world), (3, 0, 1_787));
        assert_eq!(
            (world.control().calls().len(), world.upstream_requests().len()),
            (0, 0)
        );
        assert_sound(&world);
    }
}

/// Aggregators probe without a token before they send one, and close what they have opened without one.
#[test]
fn requests_without_any_token_are_never_a_warning_and_touch_no_shared_data() {
    for listens in [false, true] {
        let world = kubernetes().workers(4).start();
        for n in 0..500 {
            let request = world.request("kubernetes").on_worker(n % 4);
            let request = if listens { request.get() } else { request };
            let request = if n % 2 == 0 {
                request
            } else {
                request.session(&format!("s-{n}"))
            };
            assert_eq!(request.send().status(), Some(401));
        }
        assert_eq!(lines(&world), (0, 0, 500), "{listens}");
        assert_eq!(world.gateway().shared_data().key_count(), 0);
        assert_eq!(world.counted(&["outcome=missing_bearer", "requests_total"]), 500);
        assert_sound(&world);
    }
}

/// A stale token of a user without a registered login: control says so, and the pair warns like any other.
#[test]
fn an_unregistered_users_stale_token_is_a_warning_once_a_minute() {
    let world = kubernetes().workers(2).start();
    world.control().refuses(Refusal::UnknownSession);
    let stale = world.mint(&token(exp_in(-5)));
    for n in 0..119 {
        assert_eq!(send_on(&world, n % 2, &stale).status(), Some(401));
        world.advance(secs(1));
    }
    let moments = moments_ms(&world, LogLevel::Warn);
    assert_eq!(moments.len(), 2, "{moments:?}");
    assert!(moments[1] - moments[0] >= 60_000, "{moments:?}");
    assert_eq!(world.debugs().len(), 117);
}

#[test]
fn a_change_of_the_reason_is_no_new_warning() {
    let world = kubernetes().start();
    for (n, refusal) in Refusal::ALL.iter().copied().enumerate() {
        world.control().refuses(refusal);
        let presented = token(exp_in(-500)).id(&format!("token-{n}"));
        // Refused tokens of one pair are asked about twelve times a minute.
        world.advance(secs(if n < 6 { 0 } else { 5 }));
        assert_eq!(
            send_on(&world, 0, &world.mint(&presented)).refusal().as_deref(),
            Some(refusal.name())
        );
    }
    let minutes = 1 + 5 * (Refusal::ALL.len() - 6) / 60;
    assert_eq!(lines(&world), (minutes, 0, Refusal::ALL.len() - minutes));
}

#[test]
fn the_span_between_two_warnings_can_be_set() {
    let world = kubernetes().setting("warn_every", "10s").start();
    for _ in 0..30 {
        assert_eq!(
            world.request("kubernetes").bearer("garbage").send().status(),
            Some(401)
        );
        world.advance(secs(1));
    }
    assert_eq!(moments_ms(&world, LogLevel::Warn), [0, 10_000, 20_000]);
}

#[test]
fn a_clock_that_steps_back_an_hour_costs_one_more_warning_and_not_an_hour_of_silence() {
    let world = kubernetes().start();
    let refused = || world.request("kubernetes").bearer("garbage").send();
    assert_eq!(refused().status(), Some(401));
    world.gateway().step_wall_clock_ms(-3_600_000);
    for _ in 0..120 {
        assert_eq!(refused().status(), Some(401));
        world.advance(secs(1));
    }
    assert_eq!(moments_ms(&world, LogLevel::Warn), [0, 0, 60_000]);
}

#[test]
fn at_the_level_warn_only_the_warnings_cost_a_line() {
    let world = kubernetes()
        .gateway(|gateway| gateway.log_level(LogLevel::Warn))
        .start();
    world.gateway().forget_host_calls();
    for _ in 0..50 {
        assert_eq!(
            world.request("kubernetes").bearer("garbage").send().status(),
            Some(401)
        );
    }
    assert_eq!(world.gateway().host_calls().count("proxy_log"), 1);
}

#[test]
fn no_line_holds_a_token_a_session_or_the_credential() {
    let world = kubernetes().start();
    let session = "session-handle-abcdef0123456789";
    let stale = world.mint(&token(exp_in(-5)));
    let near = world.mint(&token(exp_in(90)));
    let fresh = world.mint(&token(exp_in(1800)).subject("user-secret"));
    let send = |bearer: &str| world.request("kubernetes").bearer(bearer).session(session).send();
    for refusal in Refusal::ALL.iter().copied() {
        world.control().refuses(refusal);
        let presented = world.mint(&token(exp_in(-5)).id(refusal.name()));
        let _ = send(&presented);
        let _ = send(&presented);
    }
    for bearer in [&stale, &near, &fresh, "garbage-bearer-value"] {
        let _ = send(bearer);
        world.advance(secs(7));
    }
    world.control().answers(token(exp_in(1800)).id("given"));
    let _ = send(&world.mint(&token(exp_in(-9))));
    world.advance(secs(1));
    assert!(lines(&world).2 > 20, "there were lines to look at");
    let parts: Vec<&str> = stale.split('.').collect();
    let given: Vec<String> = world
        .upstream_requests()
        .into_iter()
        .filter_map(|request| request.bearer)
        .collect();
    let mut secrets = vec![
        session,
        parts[1],
        parts[2],
        "garbage-bearer-value",
        "filter-credential",
        "user-1",
        "user-secret",
        "eyJ",
    ];
    secrets.extend(given.iter().map(String::as_str));
    assert_not_logged(&world, &secrets);
}
