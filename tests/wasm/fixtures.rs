//! Worlds, requests and readings that several stories share.

use tokenward_wasm_host::story::{FilterWorld, FilterWorldBuilder, SESSION_HEADER, Sent, exchange, forward};
use tokenward_wasm_host::{LogLevel, Thread};

/// One forward server and the session header.
pub(crate) fn kubernetes() -> FilterWorldBuilder {
    FilterWorld::builder()
        .server(forward("kubernetes"))
        .session_header(SESSION_HEADER)
}

/// One exchange server and the session header.
pub(crate) fn remote() -> FilterWorldBuilder {
    FilterWorld::builder()
        .server(exchange("remote-1"))
        .session_header(SESSION_HEADER)
}

/// Sends `presented` to the server `kubernetes` in the session `s1`.
pub(crate) fn send_on(world: &FilterWorld, worker: usize, presented: &str) -> Sent {
    world
        .request("kubernetes")
        .bearer(presented)
        .session("s1")
        .on_worker(worker)
        .send()
}

/// The number after `name=` in a log line.
pub(crate) fn number_in(line: &str, name: &str) -> u32 {
    let (_, rest) = line
        .split_once(&format!(" {name}="))
        .unwrap_or_else(|| panic!("no {name}= in {line:?}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("{name}= is no number in {line:?}"))
}

/// `Retry-After` of an answer, in seconds.
pub(crate) fn retry_after(sent: &Sent) -> u64 {
    let value = sent.header("retry-after").expect("a retry-after header");
    value.parse().expect("retry-after in seconds")
}

/// The refused request got exactly one answer and was never resumed.
pub(crate) fn assert_refused_once(sent: &Sent, status: u16, refusal: &str) {
    assert_eq!(
        (sent.status(), sent.refusal().as_deref()),
        (Some(status), Some(refusal))
    );
    assert_eq!((sent.stream().local_replies(), sent.stream().resumes()), (1, 0));
    assert!(sent.stream().is_deleted());
}

/// What must hold at the end of every story: nothing stale arrived, no VM died, no stream is left over.
pub(crate) fn assert_sound(world: &FilterWorld) {
    assert_eq!(world.stale_arrivals().len(), 0);
    assert_eq!(world.gateway().crashes().len(), 0);
    assert_eq!(world.errors(), Vec::<String>::new());
    for worker in 0..world.gateway().worker_count() {
        assert!(!world.gateway().worker(worker).is_dead());
        assert_eq!(
            world.gateway().worker(worker).live_streams(),
            0,
            "worker {worker} still holds streams"
        );
    }
}

/// Nothing of what the filter wrote holds any of these secrets.
pub(crate) fn assert_not_logged(world: &FilterWorld, secrets: &[&str]) {
    for line in world.gateway().logs() {
        for secret in secrets {
            assert!(!line.message.contains(secret), "a secret in {:?}", line.message);
        }
    }
}

/// How many lines of each level the filter wrote: WARN, INFO, DEBUG.
pub(crate) fn lines(world: &FilterWorld) -> (usize, usize, usize) {
    (world.warns().len(), world.infos().len(), world.debugs().len())
}

/// The virtual moments at which lines of `level` were written.
pub(crate) fn moments_ms(world: &FilterWorld, level: LogLevel) -> Vec<u64> {
    let logs = world.gateway().logs();
    logs.iter()
        .filter(|line| line.level == level)
        .map(|line| line.elapsed_ms)
        .collect()
}

/// Calls that one worker made.
pub(crate) fn calls_of_worker(world: &FilterWorld, worker: usize) -> usize {
    let calls = world.control().calls();
    calls
        .iter()
        .filter(|call| call.callout.thread == Thread::Worker(worker))
        .count()
}
