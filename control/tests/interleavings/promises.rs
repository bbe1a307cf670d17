//! The invariants of the model.

use tokenward_control::config::IssuerPolicy;
use tokenward_control::upstream::grant::attempt::{Step, Verdict};
use tokenward_control::upstream::grant::decide::is_permanent;
use tokenward_control::upstream::grant::record::{DeathReason, GrantState};
use tokenward_protocol::refusal::Refusal;

use crate::setup::{Action, Budget};
use crate::world::{LEASE_MS, POLICY, World};

/// A replica that finds all others crashed waits at most this long for the lease.
const SUCCESSOR_STARTS_AFTER_MS: u64 = LEASE_MS + 1_000;
/// Further time until it presents: the backoff after one or two failures.
const SLACK_MS: u64 = 5_000;
/// Number of times that a caller retries, each time after the wait of the refusal.
const MAX_TRIES: usize = 12;

/// Invariants of a state.
pub(crate) fn check_state(world: &World) -> Result<(), String> {
    if let Some(client) = &world.client
        && client.generation == world.record.generation
        && !world.is_known_as_held(client.held)
    {
        return Err(format!(
            "the client holds r{} and its grant does not know it",
            client.held
        ));
    }
    if world.policy == IssuerPolicy::Strict {
        if let Some((token, times)) = world.issuer.presented.iter().find(|(_, times)| **times > 1) {
            return Err(format!("r{token} was presented {times} times to a strict issuer"));
        }
        if world.issuer.revoked {
            return Err("the strict issuer has ended the login because of a reuse".to_owned());
        }
    }
    let GrantState::Dead { reason, .. } = world.record.state else {
        return Ok(());
    };
    let refused = matches!(
        reason,
        DeathReason::Claimed | DeathReason::Expired | DeathReason::InvalidGrant
    );
    if refused && world.issuer.refusals == 0 {
        return Err(format!("{reason:?}, and the issuer has refused nothing"));
    }
    let works = world
        .stored()
        .is_some_and(|stored| world.issuer.accepts(stored, world.now_ms));
    // A strict issuer's token that may have been presented, as far as any replica but the presenter can know, if the
    // issuer does not report on it.
    let announced = world.policy == IssuerPolicy::Strict
        && !world.introspects
        && (world.unpresented_intents > 0 || world.has_live_intent());
    if works && !announced && reason != DeathReason::IssuerFailing {
        return Err(format!("{reason:?}, and the stored token works"));
    }
    Ok(())
}

/// Invariants of a transition.
pub(crate) fn check_transition(before: &World, after: &World, action: Action) -> Result<(), String> {
    if action == Action::Rewind {
        return Ok(());
    }
    if after.record.generation < before.record.generation {
        return Err("the generation went back".to_owned());
    }
    if after.record.generation > before.record.generation && action != Action::LogIn {
        return Err("a new generation without a login".to_owned());
    }
    // Tokens are numbered in the order of their issue.
    if after.stored() < before.stored() {
        return Err(format!(
            "r{:?} took the place of r{:?}",
            after.stored(),
            before.stored()
        ));
    }
    if let GrantState::Dead {
        reason: DeathReason::IssuerFailing,
        since_ms,
    } = after.record.state
        && !matches!(before.record.state, GrantState::Dead { .. })
    {
        let permanent = after
            .record
            .failures
            .is_some_and(|streak| is_permanent(&streak, &POLICY, since_ms));
        if !permanent {
            return Err("an issuer that failed now and then ended the login".to_owned());
        }
    }
    Ok(())
}

/// The outcome for the login once all activity has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Served,
    NeedsLogin,
}

/// The state once all activity has ended: every process crashes, or, if the store may go back in time, every live one
/// completes its attempt. Fields that no longer matter are cleared.
pub(crate) fn quiesced(world: &World) -> World {
    let mut world = world.clone();
    for at in 0..world.replicas.len() {
        if world.rewinds {
            finish(&mut world, at);
        } else {
            world.crash(at);
        }
    }
    (world.budget, world.verdict, world.saved) = (Budget::default(), None, None);
    world
}

/// A caller requests a token from a replica that has just started, and retries after each wait.
pub(crate) fn check_successor(quiesced: World) -> Result<Ending, String> {
    let mut world = quiesced;
    if world.rewinds {
        return check_survivors(world);
    }
    let stored = world.stored();
    world.now_ms += SUCCESSOR_STARTS_AFTER_MS;
    let issuer = &world.issuer;
    let in_time = |rotated_ms| issuer.accepts(stored.unwrap_or(0), rotated_ms);
    // The failing replica's clock sets a wait, and the successor's clock measures it.
    let noted_ms = world.record.failures.map_or(0, |_| clocks_apart_ms(&world));
    let must_serve = stored == Some(issuer.current) || in_time(world.now_ms + SLACK_MS + noted_ms);
    let ending = request_until_settled(&mut world, 0)?;
    let excused = match world.policy {
        IssuerPolicy::Tolerant => world.lost_answers > 0 && !must_serve,
        IssuerPolicy::Strict if world.introspects => world.lost_answers > 0,
        IssuerPolicy::Strict => world.lost_answers + world.unpresented_intents > 0,
    };
    let failing = matches!(
        world.record.state,
        GrantState::Dead {
            reason: DeathReason::IssuerFailing,
            ..
        }
    );
    if ending == Ending::NeedsLogin && !excused && !failing {
        return Err(format!(
            "the login was lost without need: {:?}",
            world.record.state
        ));
    }
    check_state(&world)?;
    check_client(&mut world, ending)?;
    Ok(ending)
}

/// A client of the relay that holds a token of the login has a login as long as the servers' callers have one, and no
/// longer; and then it holds the token that the issuer accepts.
fn check_client(world: &mut World, ending: Ending) -> Result<(), String> {
    let Some(client) = world.client else {
        return Ok(());
    };
    if client.generation != world.record.generation {
        return Ok(());
    }
    let clients = present_until_settled(world)?;
    check_state(world)?;
    if clients != ending {
        return Err(format!("servers: {ending:?}, the client: {clients:?}"));
    }
    let held = world.client.map_or(0, |client| client.held);
    if clients == Ending::Served && !world.issuer.accepts(held, world.now_ms) {
        return Err(format!("the client was given r{held}, which does not work"));
    }
    Ok(())
}

fn present_until_settled(world: &mut World) -> Result<Ending, String> {
    for _ in 0..MAX_TRIES {
        world.verdict = None;
        world.present(0, false);
        finish(world, 0);
        match &world.verdict {
            Some(Verdict::Serve(_)) => return Ok(Ending::Served),
            Some(Verdict::Refuse(refused)) if refused.refusal == Refusal::NeedsLogin => {
                return Ok(Ending::NeedsLogin);
            }
            Some(Verdict::Refuse(refused)) => {
                world.now_ms += 1_000 * refused.retry_after_seconds.unwrap_or(2);
            }
            None => {}
        }
    }
    Err(format!("the client tried {MAX_TRIES} times: {:?}", world.verdict))
}

/// The largest difference between two replicas' clocks.
fn clocks_apart_ms(world: &World) -> u64 {
    let skews_ms = || world.skews_ms.iter().copied();
    let (fastest_ms, slowest_ms) = (skews_ms().max(), skews_ms().min());
    fastest_ms.unwrap_or(0).abs_diff(slowest_ms.unwrap_or(0))
}

/// A rolled-back store costs no login while the replicas that made the refreshes live: each one in turn restores what
/// it knows. A crashed one may have held the newest token.
fn check_survivors(mut world: World) -> Result<Ending, String> {
    let (stored, current) = (world.stored(), world.issuer.current);
    world.now_ms += SUCCESSOR_STARTS_AFTER_MS;
    let all_replicas = world.replicas.len();
    // One replica may have to wait for what another restores.
    for at in (0..all_replicas).cycle().take(2 * all_replicas) {
        let ending = request_until_settled(&mut world, at)?;
        check_state(&world)?;
        if ending == Ending::Served {
            return Ok(ending);
        }
    }
    let unpresented_intents = if world.introspects {
        0
    } else {
        world.unpresented_intents
    };
    let excused =
        world.deaths > 0 && (stored != Some(current) || world.lost_answers + unpresented_intents > 0);
    if excused {
        return Ok(Ending::NeedsLogin);
    }
    Err(format!(
        "the login was lost with the store's memory: {:?}",
        world.record.state
    ))
}

/// A replica completes its attempt undisturbed.
fn finish(world: &mut World, at: usize) {
    while let Some(running) = &world.replicas[at] {
        let arrives = running.step == Step::Present && running.answer.is_none();
        world.happen(if arrives {
            Action::Arrive(at)
        } else {
            Action::Go(at)
        });
    }
}

fn request_until_settled(world: &mut World, at: usize) -> Result<Ending, String> {
    for _ in 0..MAX_TRIES {
        world.start(at);
        finish(world, at);
        match &world.verdict {
            Some(Verdict::Serve(_)) => return Ok(Ending::Served),
            Some(Verdict::Refuse(refused)) if refused.refusal == Refusal::NeedsLogin => {
                return Ok(Ending::NeedsLogin);
            }
            Some(Verdict::Refuse(refused)) => {
                world.now_ms += 1_000 * refused.retry_after_seconds.unwrap_or(2);
            }
            None => {}
        }
    }
    Err(format!(
        "tried {MAX_TRIES} times and neither served nor ended: {:?}",
        world.verdict
    ))
}
