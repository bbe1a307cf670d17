//! Children are awaited line by line, stopped, continued and ended, and never outlive their guard.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use tokenward_harness::parts::{EnvoyLine, Metrics, Process, ProcessSpec, ports};
use tokenward_harness::secrets;

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Process {
    Process::start(&ProcessSpec::new("shell", "/bin/sh", ["-c", script])).unwrap()
}

/// The third field of `/proc/PID/stat`: R, S, T (stopped), Z; `None` when there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn lines_of_both_outputs_can_be_counted_and_awaited() {
    let process = shell("echo one; echo two >&2; echo one; echo three; sleep 60");
    process
        .log()
        .wait_for_line(|line| line == "two", SOON)
        .await
        .unwrap();
    process
        .log()
        .wait_for_line(|line| line == "three", SOON)
        .await
        .unwrap();
    assert_eq!(process.log().count(|line| line == "one"), 2);
    let mark = process.log().mark();
    let late = process
        .log()
        .wait_for_line_after(mark, |line| line == "one", Duration::from_millis(50))
        .await;
    assert!(late.unwrap_err().to_string().contains("three"));
}

/// A test that has received a process's answer may count at once what was written before that answer.
#[tokio::test]
async fn what_a_process_printed_before_it_did_something_is_counted_as_soon_as_that_is_seen() {
    const TIMES: usize = 500;
    let script = format!("pwd; for number in $(seq {TIMES}); do echo line; : > $number; done; sleep 60");
    let process = shell(&script);
    let log = process.log();
    let folder = log
        .wait_for_line(|line| line.starts_with('/'), SOON)
        .await
        .unwrap();
    let limit = Instant::now() + SOON;
    for number in 1..=TIMES {
        let done = Path::new(&folder).join(number.to_string());
        while !done.exists() {
            assert!(Instant::now() < limit, "{number} of {TIMES}");
        }
        assert!(log.count(|line| line == "line") >= number, "{number} of {TIMES}");
    }
    assert_eq!(log.count(|line| line == "line"), TIMES);
}

#[tokio::test]
async fn a_process_that_prints_a_secret_fails_its_test_whatever_that_is_about() {
    let secret = "a-secret-that-only-this-test-knows-47110815";
    let begins_like_a_token = ["eyJ", "hbGciOiJSUzI1NiJ9.e30.c2ln"].concat();
    secrets::note(secret);
    for (printed, leaks) in [
        ("nothing of it", false),
        ("eyJ is no token", false),
        (secret, true),
        (&secret[5..35], true),
        (&begins_like_a_token, true),
    ] {
        let process = shell(&format!("echo 'before {printed} after'; sleep 60"));
        process
            .log()
            .wait_for_line(|line| line.contains(printed), SOON)
            .await
            .unwrap();
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(process)));
        let panicked = dropped.err().map(|panic| *panic.downcast::<String>().unwrap());
        assert_eq!(panicked.is_some(), leaks, "{printed}: {panicked:?}");
        assert!(panicked.is_none_or(|panicked| panicked.contains("[0]") && !secrets::are_in(&panicked)));
    }
}

#[tokio::test]
async fn a_dropped_process_is_gone_and_so_is_its_folder() {
    let process = shell("pwd; sleep 60");
    let folder = process
        .log()
        .wait_for_line(|line| line.starts_with('/'), SOON)
        .await
        .unwrap();
    let pid = process.pid();
    assert!(state(pid).is_some() && Path::new(&folder).is_dir());
    drop(process);
    assert_eq!(state(pid), None);
    assert!(!Path::new(&folder).exists());
}

#[tokio::test]
async fn a_paused_process_is_stopped_until_it_is_resumed() {
    let mut process = shell("while read -r line; do :; done < /dev/zero");
    process.pause().unwrap();
    while state(process.pid()) != Some('T') {
        tokio::task::yield_now().await;
    }
    process.resume().unwrap();
    while state(process.pid()) == Some('T') {
        tokio::task::yield_now().await;
    }
    process.ensure_running().unwrap();
}

#[tokio::test]
async fn a_terminated_process_may_clean_up() {
    let mut process = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    process
        .log()
        .wait_for_line(|line| line == "ready", SOON)
        .await
        .unwrap();
    assert_eq!(process.terminate(SOON).await.unwrap().code(), Some(3));
    process
        .log()
        .wait_for_line(|line| line == "bye", SOON)
        .await
        .unwrap();
    assert!(process.pause().unwrap_err().to_string().contains("has ended"));
}

#[test]
fn a_port_is_given_once_and_is_free_whenever_its_program_is_down() {
    const PORTS: usize = 40;
    let given: BTreeSet<u16> = (0..PORTS).map(|_| ports::free_port().unwrap()).collect();
    assert_eq!(given.len(), PORTS);
    for port in given {
        for _ in 0..2 {
            assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "{port}");
        }
    }
}

#[test]
fn a_line_of_the_filter_is_taken_out_of_envoys_log() {
    let line = "[2026-11-21 18:44:24.953][23013][warning][wasm] [source/extensions/common/wasm/context.cc:1151] \
                wasm log tokenward tokenward tokenward: refused server=a: retry later";
    let expected = EnvoyLine {
        level: "warning".to_owned(),
        logger: "wasm".to_owned(),
        message: "refused server=a: retry later".to_owned(),
    };
    assert_eq!(EnvoyLine::read_wasm(line), Some(expected));
    let own = "[2026-11-21 18:44:24.953][23013][debug][wasm] [source/extensions/common/wasm/wasm.cc:83] Base Wasm \
               created 1 now active";
    assert_eq!(EnvoyLine::read_wasm(own), None);
    assert_eq!(
        EnvoyLine::read(own).unwrap().message,
        "Base Wasm created 1 now active"
    );
    assert_eq!(EnvoyLine::read("not a line of Envoy"), None);
}

#[test]
fn metrics_are_summed_over_the_labels_that_are_left_open() {
    let text = "# TYPE requests_total counter\n\
                requests_total{server=\"a\",outcome=\"ok\"} 3\n\
                requests_total{server=\"a\",outcome=\"panicked \\\"no\\\", twice\"} 2 1700000000000\n\
                requests_total{server=\"b\",outcome=\"ok\"} 4\n\
                up 1\n";
    let metrics = Metrics::read(text);
    assert_eq!(metrics.count("requests_total", &[]), 9);
    assert_eq!(metrics.count("requests_total", &[("server", "a")]), 5);
    assert_eq!(
        metrics.count("requests_total", &[("outcome", "panicked \"no\", twice")]),
        2
    );
    assert_eq!(metrics.count("requests_total", &[("server", "c")]), 0);
    assert_eq!(metrics.count("up", &[]), 1);
}
