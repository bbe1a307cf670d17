//! What the search found broken once, as the shortest way there.

use tokenward_control::config::IssuerPolicy::Strict;

use crate::promises::Ending;
use crate::search::scripted;
use crate::setup::Action::{Arrive, Crash, Fail, Go, Lose, Pause, Start, Unanswered};
use crate::setup::{Action, Budget, Setup};

/// Two replicas and a strict issuer, which ends a login when it sees a token twice.
fn at_a_strict_issuer(actions: &[Action]) -> Ending {
    at_an_issuer_that_tells(true, actions)
}

fn at_an_issuer_that_tells(tells: bool, actions: &[Action]) -> Ending {
    let setup = Setup {
        issuer: Strict,
        reuse_ms: 0,
        tells,
        skews_ms: vec![0, 0],
        life_seconds: 70,
        pause_ms: 16_000,
        budget: Budget {
            starts: 3,
            crashes: 1,
            outages: 1,
            lost: 1,
            failures: 1,
            pauses: 4,
            ..Budget::default()
        },
    };
    scripted(&setup, actions).expect("every promise holds")
}

/// Replica 1 holds the rotated refresh token in the store and is about to write the ID token; its lease has run out,
/// and replica 0 has announced the new refresh token.
const ANNOUNCED_BETWEEN_TWO_WRITES: [Action; 12] = [
    Start(1),
    Go(1),
    Pause,
    Go(1),
    Go(1),
    Arrive(1),
    Go(1),
    Go(1),
    Start(0),
    Go(0),
    Go(0),
    Go(0),
];

#[test]
fn a_late_id_token_leaves_anothers_announcement_alone() {
    at_a_strict_issuer(
        &[
            &ANNOUNCED_BETWEEN_TWO_WRITES[..],
            &[Go(1), Go(1), Arrive(0), Crash(0)],
        ]
        .concat(),
    );
}

#[test]
fn a_late_id_token_brings_no_dead_refresh_token_back() {
    let way = [
        &ANNOUNCED_BETWEEN_TWO_WRITES[..],
        &[Arrive(0), Lose(0), Go(0), Go(0), Go(1), Go(1)],
    ]
    .concat();
    at_a_strict_issuer(&way);
}

#[test]
fn a_refresh_token_that_is_written_twice_leaves_anothers_announcement_alone() {
    let way = [
        Start(1),
        Go(1),
        Pause,
        Go(1),
        Go(1),
        Arrive(1),
        Go(1),
        Unanswered(1),
        Start(0),
        Go(0),
        Go(0),
        Go(0),
        Go(1),
        Go(1),
        Arrive(0),
        Crash(0),
    ];
    at_a_strict_issuer(&way);
}

#[test]
fn an_announcement_that_came_in_between_is_not_written_over() {
    at_a_strict_issuer(&[
        Start(1),
        Go(1),
        Pause,
        Go(1),
        Start(0),
        Go(0),
        Go(0),
        Go(1),
        Arrive(1),
        Crash(1),
        Go(0),
        Go(0),
    ]);
}

#[test]
fn a_death_that_came_in_between_is_not_announced_over() {
    at_a_strict_issuer(&[
        Start(1),
        Go(1),
        Pause,
        Go(1),
        Start(0),
        Go(0),
        Go(0),
        Go(1),
        Arrive(1),
        Lose(1),
        Go(1),
        Go(1),
        Go(0),
    ]);
}

/// Replica 1 learns that the issuer failed and is paused before it can write that down. Replica 0 meets its announcement,
/// and comes again when its time is over; the issuer does not tell.
const PAUSED_WITH_A_FAILURE: [Action; 15] = [
    Start(1),
    Go(1),
    Go(1),
    Go(1),
    Fail(1),
    Pause,
    Start(0),
    Go(0),
    Go(0),
    Go(0),
    Pause,
    Pause,
    Pause,
    Start(0),
    Go(0),
];

#[test]
fn who_was_given_up_and_knows_better_brings_the_login_back() {
    let way = [
        &PAUSED_WITH_A_FAILURE[..],
        &[Go(0), Go(0), Go(0), Go(0), Go(1), Go(1)],
    ]
    .concat();
    assert_eq!(at_an_issuer_that_tells(false, &way), Ending::Served);
}

#[test]
fn nobody_is_given_up_after_it_turned_out_how_it_ended() {
    // Replica 0 decides to give replica 1 up, and comes to write that down when replica 1 has said that nothing was lost.
    let way = [&PAUSED_WITH_A_FAILURE[..], &[Go(0), Go(0), Go(1), Go(1), Go(0)]].concat();
    assert_eq!(at_an_issuer_that_tells(false, &way), Ending::Served);
}
