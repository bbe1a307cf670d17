//! Memory that a worker takes for what honest clients do, and for all of its memories at once: linear memory as the host sees
//! it. `cargo test -p tokenward-tests --test wasm bytes -- --nocapture` prints the figures.

use tokenward_wasm_host::UpstreamReply;
use tokenward_wasm_host::story::{FilterWorld, Sent, exp_in, secs, token};

use crate::fixtures::{assert_sound, kubernetes, send_on};

/// One of each of a session, a pair and a stream, at the most: with a token as Dex makes it (ten groups, 1 KB).
const SESSION_BYTES: usize = 2_048;
const PAIR_BYTES: usize = 256;
const STREAM_BYTES: usize = 320;
/// All memories of a worker together, without open streams.
const ALL_BYTES: usize = 40 * 1024 * 1024;

fn bytes(world: &FilterWorld) -> usize {
    world.gateway().worker(0).memory_bytes()
}

/// What `more` of something take, each, after `some` of it.
fn each(world: &FilterWorld, some: usize, more: usize, mut act: impl FnMut(usize)) -> usize {
    (0..some).for_each(&mut act);
    let before = bytes(world);
    (some..some + more).for_each(act);
    (bytes(world) - before).div_ceil(more)
}

#[test]
fn a_session_takes_less_than_twice_its_token() {
    let world = kubernetes().start();
    let taken = each(&world, 100, 1_000, |number| {
        let presented = world.mint(&token(exp_in(1800)).groups(10).id(&format!("{number}")));
        let request = world.request("kubernetes").bearer(&presented);
        assert!(
            request
                .session(&format!("session-{number}"))
                .send()
                .is_forwarded()
        );
    });
    println!("{taken} bytes for a session");
    assert!(taken <= SESSION_BYTES, "{taken}");
    assert_sound(&world);
}

#[test]
fn another_pair_of_the_same_token_takes_a_few_hundred_bytes() {
    let world = kubernetes().start();
    let tokens: Vec<String> = (0..300)
        .map(|number| world.mint(&token(exp_in(1800)).groups(10).id(&format!("{number}"))))
        .collect();
    let taken = each(&world, 600, 9_000, |number| {
        let request = world.request("kubernetes").bearer(&tokens[number % 300]);
        assert!(
            request
                .session(&format!("session-{number}"))
                .send()
                .is_forwarded()
        );
    });
    println!("{taken} bytes for a pair");
    assert!(taken <= PAIR_BYTES, "{taken}");
    assert_sound(&world);
}

#[test]
fn a_request_that_waits_for_its_server_takes_a_few_hundred_bytes() {
    let world = kubernetes().start();
    world.upstream_replies(UpstreamReply::StayOpen);
    let presented = world.mint(&token(exp_in(1800)).groups(10));
    let mut open: Vec<Sent> = Vec::new();
    let taken = each(&world, 1_000, 10_000, |_| {
        let sent = send_on(&world, 0, &presented);
        assert!(sent.status().is_none());
        open.push(sent);
    });
    println!("{taken} bytes for a stream");
    assert!(taken <= STREAM_BYTES, "{taken}");
    open.iter().for_each(Sent::disconnect);
    assert_sound(&world);
}

/// Tokens of 20 KB: those that fill each memory with the fewest requests.
fn large(world: &FilterWorld, expires_in: i64, from: usize, count: usize) -> Vec<String> {
    let minted = world.mint(&token(exp_in(expires_in)).subject(&"s".repeat(15_000)));
    let common = &minted[..minted.len() - 8];
    let numbered = |number| format!("{common}{number:07}A");
    (from..from + count).map(numbered).collect()
}

#[test]
fn all_memories_of_a_worker_filled_at_once_are_bounded_in_sum() {
    let world = kubernetes().start();
    world
        .control()
        .answers(token(exp_in(1800)).subject(&"s".repeat(15_000)));
    let send = |token: &String, number: usize| {
        let request = world.request("kubernetes").bearer(token);
        request.session(&format!("session-{number}")).send()
    };
    // Tokens and their replacements: stale ones, each in a session of its own, over some minutes.
    for (number, stale) in large(&world, -5, 0, 2_000).iter().enumerate() {
        let _ = send(stale, number);
        if number % 20 == 19 {
            world.advance(secs(1));
        }
    }
    let calls = world.control().calls().len();
    assert!(calls > 1_000, "{calls} calls: too few to fill the replacements");
    // Calls that have not started, and tokens once more.
    for (number, near) in large(&world, 90, 2_000, 2_000).iter().enumerate() {
        let _ = send(near, number);
    }
    let taken = bytes(&world);
    println!("{taken} bytes with all memories full");
    assert!(taken <= ALL_BYTES, "{taken}");
    assert_sound(&world);
}
