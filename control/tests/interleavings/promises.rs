//! What must hold, whatever happens.

use tokenward_control::config::IssuerPolicy;
use tokenward_control::upstream::grant::attempt::{Step, Verdict};
use tokenward_control::upstream::grant::decide::is_hopeless;
use tokenward_control::upstream::grant::record::{DeathReason, GrantState};
use tokenward_protocol::refusal::Refusal;

use crate::setup::{Action, Budget};
use crate::world::{LEASE_MS, POLICY, World};

/// A replica that finds everybody else dead has at most this long to wait for the lease.
const HEIR_COMES_AFTER_MS: u64 = LEASE_MS + 1_000;
/// What else may pass until the heir presents: the backoff after one or two failures.
const SLACK_MS: u64 = 5_000;
/// So often a caller comes again, each time when it was told to.
const MOST_TRIES: usize = 12;

/// What may be said of one moment.
pub(crate) fn of_a_moment(world: &World) -> Result<(), String> {
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
    // A strict issuer's token that may have been presented, for all that any replica but the presenter can know, where the
    // issuer does not tell.
    let marked = world.policy == IssuerPolicy::Strict
        && !world.tells
        && (world.empty_marks > 0 || world.has_living_mark());
    if works && !marked && reason != DeathReason::IssuerFailing {
        return Err(format!("{reason:?}, and the stored token works"));
    }
    Ok(())
}

/// What may be said of a change.
pub(crate) fn of_a_change(before: &World, after: &World, action: Action) -> Result<(), String> {
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
        let hopeless = after
            .record
            .failures
            .is_some_and(|streak| is_hopeless(&streak, &POLICY, since_ms));
        if !hopeless {
            return Err("an issuer that failed now and then ended the login".to_owned());
        }
    }
    Ok(())
}

/// How a login goes on once everything is quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Served,
    NeedsLogin,
}

/// Everything is quiet: everybody has died, or where the store may go back in time, everybody who lives has ended what
/// it was at. What can no longer make a difference is left out.
pub(crate) fn quieted(world: &World) -> World {
    let mut world = world.clone();
    for at in 0..world.replicas.len() {
        if world.rewinds {
            finish(&mut world, at);
        } else {
            world.crash(at);
        }
    }
    (world.budget, world.told, world.saved) = (Budget::default(), None, None);
    world
}

/// A caller comes to a replica that has just started, and comes again whenever it was told to.
pub(crate) fn of_an_heir(quieted: World) -> Result<Ending, String> {
    let mut world = quieted;
    if world.rewinds {
        return of_those_who_remember(world);
    }
    let stored = world.stored();
    world.now_ms += HEIR_COMES_AFTER_MS;
    let issuer = &world.issuer;
    let in_time = |rotated_ms| issuer.accepts(stored.unwrap_or(0), rotated_ms);
    // A wait is noted by the clock of the replica that failed, and waited out by the heir's.
    let noted_ms = world.record.failures.map_or(0, |_| clocks_apart_ms(&world));
    let must_serve = stored == Some(issuer.current) || in_time(world.now_ms + SLACK_MS + noted_ms);
    let ending = asked_until_settled(&mut world, 0)?;
    let excused = match world.policy {
        IssuerPolicy::Tolerant => world.lost_answers > 0 && !must_serve,
        IssuerPolicy::Strict if world.tells => world.lost_answers > 0,
        IssuerPolicy::Strict => world.lost_answers + world.empty_marks > 0,
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
    of_a_moment(&world)?;
    Ok(ending)
}

/// How far the replicas' clocks are apart at the most.
fn clocks_apart_ms(world: &World) -> u64 {
    let skews_ms = || world.skews_ms.iter().copied();
    let (fastest_ms, slowest_ms) = (skews_ms().max(), skews_ms().min());
    fastest_ms.unwrap_or(0).abs_diff(slowest_ms.unwrap_or(0))
}

/// A store that went back in time costs no login where those who made the refreshes live: each is asked in turn, and
/// puts back what it knows. Who died may have taken the newest token along.
fn of_those_who_remember(mut world: World) -> Result<Ending, String> {
    let (stored, current) = (world.stored(), world.issuer.current);
    world.now_ms += HEIR_COMES_AFTER_MS;
    let everybody = world.replicas.len();
    // One may have to wait for what another puts back.
    for at in (0..everybody).cycle().take(2 * everybody) {
        let ending = asked_until_settled(&mut world, at)?;
        of_a_moment(&world)?;
        if ending == Ending::Served {
            return Ok(ending);
        }
    }
    let empty_marks = if world.tells { 0 } else { world.empty_marks };
    let excused = world.deaths > 0 && (stored != Some(current) || world.lost_answers + empty_marks > 0);
    if excused {
        return Ok(Ending::NeedsLogin);
    }
    Err(format!(
        "the login was lost with the store's memory: {:?}",
        world.record.state
    ))
}

/// A replica goes on undisturbed until it is done.
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

fn asked_until_settled(world: &mut World, at: usize) -> Result<Ending, String> {
    for _ in 0..MOST_TRIES {
        world.start(at);
        finish(world, at);
        match &world.told {
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
        "asked {MOST_TRIES} times and neither served nor ended: {:?}",
        world.told
    ))
}
