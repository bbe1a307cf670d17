//! Memory that a client can make a worker's VM keep, by the requests that cost it most.

use tokenward_tests::host::story::{SESSION_HEADER, exp_in, token};

use crate::fixtures::{assert_sound, kubernetes};

/// More than everything that a worker keeps when it is full.
const MOST_BYTES: usize = 24 * 1024 * 1024;

#[test]
fn small_tokens_in_many_sessions_with_the_longest_handles_leave_a_bounded_memory() {
    let world = kubernetes().start();
    for number in 0..900 {
        let presented = world.mint(&token(exp_in(1800)).id(&format!("{number}")));
        for session in 0..64 {
            let handle = format!("{number}-{session}-{}", "x".repeat(490));
            let sent = world
                .request("kubernetes")
                .bearer(&presented)
                .header(SESSION_HEADER, handle)
                .send();
            assert!(sent.is_forwarded());
        }
    }
    let bytes = world.gateway().worker(0).memory_bytes();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    assert_sound(&world);
}

#[test]
fn tokens_with_thousands_of_audiences_leave_a_bounded_memory() {
    let world = kubernetes().start();
    let many: Vec<&str> = std::iter::repeat_n("a", 5_000).collect();
    for number in 0..400 {
        let forged = world.mint(&token(exp_in(1800)).id(&format!("{number}")).audiences(&many));
        let sent = world.request("kubernetes").bearer(&forged).send();
        assert_eq!(sent.status(), Some(401));
    }
    let bytes = world.gateway().worker(0).memory_bytes();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    assert_sound(&world);
}
