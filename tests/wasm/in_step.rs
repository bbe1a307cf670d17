//! The module in step with control: one VM of all polls, module updates retain the state, and requests cost what they did.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokenward_protocol::filter_state::{
    EndedDigest, FilterState, MAX_SIGN_OUTS, MAX_SIGN_OUTS_OF_ANSWER, MAX_STATE_BYTES, STATE_PATH,
    ServerList, SignOut,
};
use tokenward_protocol::token_endpoint::MARKER_HEADER;
use tokenward_wasm_host::story::{FilterWorld, FilterWorldBuilder, SESSION_HEADER, exp_in, forward, token};
use tokenward_wasm_host::{CalloutReply, WasmModule};

/// The list that control publishes: nothing besides the servers of the configuration itself.
const NO_MORE: &[u8] = br#"{"servers": []}"#;

fn builder() -> FilterWorldBuilder {
    FilterWorld::builder()
        .server(forward("kubernetes"))
        .session_header(SESSION_HEADER)
        .setting("state", json!({}))
}

/// Control answers every poll with this body, until it is down.
fn answers(world: &FilterWorld, body: Vec<u8>) -> Rc<Cell<bool>> {
    let is_down = Rc::new(Cell::new(false));
    let down = Rc::clone(&is_down);
    world.gateway().script_callouts(move |callout| {
        assert!(
            callout
                .headers
                .text(":path")
                .expect("a path")
                .starts_with(STATE_PATH)
        );
        if down.get() {
            return CalloutReply::ConnectionRefused;
        }
        let answer = CalloutReply::answer(200).header(MARKER_HEADER, "0.1.0");
        answer.body(body.clone()).into()
    });
    is_down
}

/// Control answers every poll with the sign-outs after its position, as many as one answer may have.
fn answers_in_pages(world: &FilterWorld, sign_outs: Vec<SignOut>) {
    world.gateway().script_callouts(move |callout| {
        let path = callout.headers.text(":path").expect("a path");
        let (_, after) = path.split_once("after=").expect("a position");
        let after = after
            .split('&')
            .next()
            .and_then(|after| after.parse().ok())
            .expect("a number");
        let page: Vec<_> = sign_outs
            .iter()
            .skip(after)
            .take(MAX_SIGN_OUTS_OF_ANSWER)
            .copied()
            .collect();
        let position = after + page.len();
        let body = FilterState {
            version: position as u64,
            has_more: position < sign_outs.len(),
            servers: Some(ServerList {
                version: 1,
                json: NO_MORE,
            }),
            sign_outs: page,
        };
        let answer = CalloutReply::answer(200).header(MARKER_HEADER, "0.1.0");
        answer.body(body.encode()).into()
    });
}

fn state(sign_outs: Vec<SignOut>) -> Vec<u8> {
    FilterState {
        version: 1 + sign_outs.len() as u64,
        has_more: false,
        servers: Some(ServerList {
            version: 1,
            json: NO_MORE,
        }),
        sign_outs,
    }
    .encode()
}

fn refusal_on(world: &FilterWorld, worker: usize, bearer: &str) -> Option<String> {
    let request = world.request("kubernetes").bearer(bearer).session("s1");
    request.on_worker(worker).send().refusal()
}

#[test]
fn one_of_all_vms_polls_and_every_worker_learns() {
    let world = builder().workers(4).start();
    answers(&world, state(Vec::new()));
    let bearer = world.mint(&token(exp_in(1800)));
    assert_eq!(refusal_on(&world, 0, &bearer).as_deref(), Some("state_missing"));
    world.advance(Duration::from_secs(20));
    let polls = world.gateway().callouts().len();
    assert!((9..=12).contains(&polls), "{polls} polls in 20 s");
    for worker in 0..4 {
        assert_eq!(refusal_on(&world, worker, &bearer), None);
    }
    assert_eq!(world.gateway().crashes().len(), 0);
}

#[test]
fn a_new_module_has_the_state_of_the_one_before_while_control_is_away() {
    let world = builder().workers(2).start();
    let ended = SignOut {
        ended: EndedDigest::session("s1"),
        last_second: u32::MAX - 1,
    };
    let is_down = answers(&world, state(vec![ended]));
    world.advance(Duration::from_secs(3));
    is_down.set(true);
    let module = WasmModule::filter().expect("the module");
    world
        .gateway()
        .replace_module(&module)
        .expect("the same module again");
    let bearer = world.mint(&token(exp_in(1800)));
    for worker in 0..2 {
        assert_eq!(refusal_on(&world, worker, &bearer).as_deref(), Some("signed_out"));
        let other = world.request("kubernetes").bearer(&bearer).session("s2");
        assert!(other.on_worker(worker).send().is_forwarded());
    }
}

#[test]
fn an_answer_that_is_damaged_or_too_large_is_not_used() {
    let mut damaged = state(Vec::new());
    damaged[30] ^= 1;
    for body in [damaged, vec![b'x'; MAX_STATE_BYTES + 1], b"<html>".to_vec()] {
        let world = builder().start();
        answers(&world, body);
        world.advance(Duration::from_secs(10));
        let bearer = world.mint(&token(exp_in(1800)));
        assert_eq!(refusal_on(&world, 0, &bearer).as_deref(), Some("state_missing"));
        assert!(world.counted(&["outcome=unusable"]) >= 3);
        assert_eq!(world.gateway().crashes().len(), 0);
    }
}

#[test]
fn a_fresh_token_seen_before_costs_no_further_host_call_and_hardly_an_instruction_with_all_sign_outs() {
    let cost_of = |with_state: bool| {
        let world = if with_state {
            builder().start()
        } else {
            FilterWorld::builder()
                .server(forward("kubernetes"))
                .session_header(SESSION_HEADER)
                .start()
        };
        if with_state {
            let all = 0..u32::try_from(MAX_SIGN_OUTS).expect("a number");
            let all = all.map(|number| SignOut {
                ended: EndedDigest::session(&format!("other-{number}")),
                last_second: number + 1,
            });
            answers_in_pages(&world, all.collect());
            world.advance(Duration::from_secs(5));
        }
        let bearer = world.mint(&token(exp_in(1800)).groups(40));
        let send = || {
            let request = world.request("kubernetes").bearer(&bearer).session("s1");
            assert!(request.send().is_forwarded());
        };
        send();
        send();
        world.gateway().forget_host_calls();
        send();
        assert_eq!(world.gateway().host_calls().total(), 3);
        world.gateway().instructions()
    };
    let (with, without) = (cost_of(true), cost_of(false));
    println!(
        "{with} instructions for a fresh token with {MAX_SIGN_OUTS} sign-outs, {without} without a state"
    );
    assert!(with <= without + 20, "{with} of {without}");
}
