//! What a request costs inside the sandbox, in instructions and host calls: the same on every machine.

use tokenward_wasm_host::story::{FilterWorld, SESSION_HEADER, exp_in, forward, token};

#[test]
fn a_fresh_token_seen_before_costs_three_host_calls_and_few_instructions() {
    let world = FilterWorld::builder()
        .server(forward("kubernetes"))
        .session_header(SESSION_HEADER)
        .start();
    let bearer = world.mint(&token(exp_in(1800)).groups(40));
    let send = || {
        assert!(
            world
                .request("kubernetes")
                .bearer(&bearer)
                .session("s1")
                .send()
                .is_forwarded()
        );
    };
    send();
    world.gateway().forget_host_calls();
    send();
    let calls = world.gateway().host_calls();
    // Headers and clock of the request; the status of the answer.
    assert_eq!(calls.total(), 3, "{:?}", calls.by_function());
    // Three of a hundred thousand before tokens were compared eight bytes at a time.
    let instructions = world.gateway().instructions();
    println!("{instructions} instructions for a fresh token seen before");
    assert!(
        instructions <= 12_000,
        "{:?}",
        world.gateway().instructions_by_callback()
    );
}
