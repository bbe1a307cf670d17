//! `issuers[].limits` and `remote_issuers`.

use tokenward_control::config::{IssuerLimits, issuer_guide};

use super::{Folder, GOOD, one_problem, parse};

const HOME: &str = "https://dex.example.com";
const REMOTE: &str = "https://dex.remote.example.com/dex";
const CLIENT: &str = "client_id: muster\n";

fn limits(calls_per_second: u32, burst: u32, concurrent_calls: u32) -> IssuerLimits {
    IssuerLimits {
        calls_per_second,
        burst,
        concurrent_calls,
    }
}

#[test]
fn limits_that_are_not_stated_are_the_defaults_and_the_burst_follows_the_rate() {
    let folder = Folder::new();
    let config = parse(&folder, GOOD).expect("good");
    assert_eq!(config.limits_of(HOME), limits(100, 200, 32));
    assert_eq!(config.limits_of(REMOTE), limits(100, 200, 32));
    for (stated, expected) in [
        ("{}", limits(100, 200, 32)),
        ("{calls_per_second: 20}", limits(20, 40, 32)),
        ("{burst: 7}", limits(100, 7, 32)),
        (
            "{calls_per_second: 10000, burst: 20000, concurrent_calls: 1000}",
            limits(10_000, 20_000, 1_000),
        ),
        (
            "{calls_per_second: 1, burst: 1, concurrent_calls: 1}",
            limits(1, 1, 1),
        ),
    ] {
        let yaml = GOOD.replacen(CLIENT, &format!("{CLIENT}  limits: {stated}\n"), 1);
        let yaml = format!("remote_issuers: [{{issuer: {REMOTE}, limits: {stated}}}]\n{yaml}");
        let config = parse(&folder, &yaml).expect(stated);
        assert_eq!(config.limits_of(HOME), expected, "{stated}");
        assert_eq!(config.limits_of(REMOTE), expected, "{stated}");
        assert_eq!(
            config.limits_of("https://other.example.com"),
            IssuerLimits::default()
        );
    }
}

#[test]
fn limits_out_of_bounds_are_problems_with_their_bounds() {
    for (field, what) in [
        (
            "calls_per_second: 0",
            "limits.calls_per_second must be 1 to 10000",
        ),
        (
            "calls_per_second: 10001",
            "limits.calls_per_second must be 1 to 10000",
        ),
        ("burst: 0", "limits.burst must be 1 to 20000"),
        ("burst: 20001", "limits.burst must be 1 to 20000"),
        ("concurrent_calls: 0", "limits.concurrent_calls must be 1 to 1000"),
        (
            "concurrent_calls: 1001",
            "limits.concurrent_calls must be 1 to 1000",
        ),
    ] {
        let stated = format!("{CLIENT}  limits: {{{field}}}\n");
        one_problem((CLIENT, &stated), 9, what);
        let stated = format!("remote_issuers: [{{issuer: {REMOTE}, limits: {{{field}}}}}]\nmargin: 30s");
        one_problem(("margin: 30s", &stated), 5, what);
    }
}

#[test]
fn the_clients_of_an_issuer_share_limits_that_one_of_them_states() {
    let folder = Folder::new();
    let two = |first: &str, second: &str| {
        let second = format!(
            "{CLIENT}  limits: {first}\n  client_secret: {{file: DIR/client}}\n- issuer: {HOME}\n  client_id: kube\n{second}"
        );
        parse(&folder, &GOOD.replacen(CLIENT, &second, 1))
    };
    for second in ["", "  limits: {calls_per_second: 20}\n"] {
        let config = two("{calls_per_second: 20}", second).expect("good");
        assert_eq!(config.limits_of(HOME), limits(20, 40, 32));
    }
    let problems = two("{calls_per_second: 20}", "  limits: {calls_per_second: 30}\n").expect_err("two");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].what.contains("other limits"), "{}", problems[0]);
}

#[test]
fn a_remote_issuer_is_named_once_and_is_none_of_the_issuers() {
    for (list, what) in [
        (format!("[{{issuer: {HOME}, limits: {{}}}}]"), "is one of issuers"),
        (
            format!("[{{issuer: {REMOTE}, limits: {{}}}}, {{issuer: {REMOTE}, limits: {{}}}}]"),
            "is named twice",
        ),
        (
            "[{issuer: dex, limits: {}}]".to_owned(),
            "remote_issuers[].issuer",
        ),
    ] {
        let stated = format!("remote_issuers: {list}\nmargin: 30s");
        one_problem(("margin: 30s", &stated), 5, what);
    }
}

#[test]
fn check_prints_the_limits_in_effect_of_every_issuer() {
    let folder = Folder::new();
    let yaml = GOOD.replacen(
        CLIENT,
        &format!("{CLIENT}  limits: {{calls_per_second: 20}}\n"),
        1,
    );
    let guide = issuer_guide(&parse(&folder, &yaml).expect("good"));
    let lines: Vec<&str> = guide.lines().collect();
    assert_eq!(lines.len(), 2, "{guide}");
    assert!(
        lines[0].ends_with("limits of each process: calls_per_second 20, burst 40, concurrent_calls 32"),
        "{guide}"
    );
    assert_eq!(
        lines[1],
        format!(
            "remote issuer {REMOTE}: limits of each process: calls_per_second 100, burst 200, concurrent_calls 32"
        )
    );
}
