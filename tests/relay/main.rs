//! Unmodified programs behind the relay, and without it, on real issuers, counted: `cargo xtask relay --check`.

mod report;

use tokenward_tests::relay::{IssuerKind, Outcome, ProgramKind, Story, Times};
use tokio::task::JoinSet;

use report::Report;

/// So many stories side by side: each has ten processes.
const SIDE_BY_SIDE: usize = 3;

/// Every program at every issuer; `only_outage` is the long one.
async fn play_all(relayed: bool, only_outage: bool) -> anyhow::Result<Vec<Outcome>> {
    let pairs = IssuerKind::ALL
        .into_iter()
        .flat_map(|issuer| ProgramKind::ALL.map(|program| (program, issuer)));
    let mut waiting = pairs.map(|(program, issuer)| Story {
        program,
        issuer,
        relayed,
        times: if only_outage {
            Times::LONG
        } else {
            Times::short(program)
        },
        only_outage,
    });
    // While the issuer is away there is little to do.
    let side_by_side = if only_outage { usize::MAX } else { SIDE_BY_SIDE };
    let mut outcomes = Vec::new();
    let mut stories = JoinSet::new();
    loop {
        for story in waiting.by_ref().take(side_by_side - stories.len()) {
            stories.spawn(story.play());
        }
        let Some(outcome) = stories.join_next().await else {
            break;
        };
        outcomes.extend(outcome??);
    }
    outcomes.sort_by(|one, other| (&one.issuer, one.program).cmp(&(&other.issuer, other.program)));
    Ok(outcomes)
}

/// What programs lose by themselves: the other half of the table.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_relay_programs_lose_logins_at_issuers_that_rotate() -> anyhow::Result<()> {
    let outcomes = play_all(false, false).await?;
    Report::new("without the relay", &outcomes).publish()?;
    let lost: usize = outcomes.iter().map(|outcome| outcome.logins_lost).sum();
    assert!(lost > 0 || outcomes.is_empty(), "{outcomes:#?}");
    assert!(outcomes.iter().all(|outcome| outcome.expired_at_servers == 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_relay_no_program_loses_a_login() -> anyhow::Result<()> {
    let outcomes = play_all(true, false).await?;
    Report::new("behind the relay", &outcomes).publish()?;
    outcomes.iter().try_for_each(Outcome::ensure_promises)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_relay_no_program_loses_a_login_while_its_issuer_is_away_for_two_minutes()
-> anyhow::Result<()> {
    let outcomes = play_all(true, true).await?;
    Report::new("behind the relay, an outage of two minutes", &outcomes).publish()?;
    outcomes.iter().try_for_each(Outcome::ensure_promises)
}
