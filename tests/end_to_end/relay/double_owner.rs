//! Two owners of one refresh token: control has the login, registered or learnt, and the aggregator goes on refreshing it.
//! A real Dex with `reuseInterval` 0 takes each token once.

use std::time::Duration;

use anyhow::Context as _;
use tokenward_harness::issuer::Issuer as _;
use tokenward_harness::parts::RealDex;
use tokenward_tests::relay::{ALICE, BOB, IssuerKind, ProgramKind, SERVER, Stage, StagePlan, Times};

/// Two users, seven calls each: as it was measured.
const ROUNDS: usize = 7;
pub(super) const TIMES: Times = Times {
    life: Duration::from_secs(6),
    margin: Duration::from_secs(2),
    ahead: Duration::from_secs(3),
    outage: Duration::ZERO,
    recovery: Duration::ZERO,
};

/// How control comes to the login, and where the aggregator refreshes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// `PUT`, and the issuer's token endpoint leads to the issuer.
    Registered,
    /// The relay learns the login, and the aggregator's refreshes go past it.
    LearnedOnly,
    /// `PUT`, and everything goes through the relay.
    RegisteredBehindRelay,
    /// The relay learns the login and answers the refreshes.
    Relay,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rounds {
    /// Calls of the users.
    calls: usize,
    /// How many of these failed.
    failed: usize,
    /// How many users must log in at the end.
    lost: usize,
    /// Requests with an old token straight at the gateway that were not served.
    old_refused: usize,
}

/// `None`, with a line on the terminal, where there is no Dex.
async fn play(owner: Owner) -> anyhow::Result<Option<(Stage<RealDex>, Rounds)>> {
    let issuer = IssuerKind::Dex(0);
    if let Some(why) = issuer.missing()? {
        tokenward_harness::aloud!("left out: two owners ({owner:?}): {why}");
        return Ok(None);
    }
    let (_, redirect_uri) = ProgramKind::redirect()?;
    let plan = StagePlan {
        relayed: owner != Owner::Registered,
        times: TIMES,
        reuse_interval: issuer.reuse_interval(),
        policy: issuer.policy(),
        redirect_uris: vec![redirect_uri.clone()],
    };
    let stage = Stage::<RealDex>::start(plan).await?;
    let mut aggregator = stage.aggregator(issuer, &redirect_uri).await?;
    let mut old = Vec::new();
    for user in [ALICE, BOB] {
        aggregator.log_in(user).await?;
        let tokens = aggregator.tokens(user).await?;
        if matches!(owner, Owner::Registered | Owner::RegisteredBehindRelay) {
            stage.register(user, &tokens).await?;
        }
        old.push(tokens.id_token);
    }
    if owner == Owner::LearnedOnly {
        aggregator.fix_token_endpoint(&stage.own_token_endpoint());
    }
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        // Stale for the filter, due for the aggregator.
        stage.wait_until_age(TIMES.life - TIMES.margin).await;
        for (user, old) in [ALICE, BOB].into_iter().zip(&old) {
            rounds.old_refused += usize::from(stage.present(old).await? != 200);
            rounds.calls += 1;
            rounds.failed += usize::from(aggregator.call(user, SERVER).await?.status != 200);
        }
    }
    for user in [ALICE, BOB] {
        rounds.lost += usize::from(!aggregator.is_logged_in(user).await);
    }
    assert_eq!(stage.server.counts().rejected_expired, 0);
    Ok(Some((stage, rounds)))
}

async fn fails(owner: Owner) -> anyhow::Result<()> {
    let Some((_, rounds)) = play(owner).await.with_context(|| format!("{owner:?}"))? else {
        return Ok(());
    };
    assert_eq!(rounds.calls, 2 * ROUNDS);
    assert!(rounds.failed > 0 && rounds.lost > 0, "{owner:?}: {rounds:?}");
    println!("{owner:?}: {rounds:?}");
    Ok(())
}

async fn holds(owner: Owner) -> anyhow::Result<()> {
    let Some((stage, rounds)) = play(owner).await.with_context(|| format!("{owner:?}"))? else {
        return Ok(());
    };
    let counts = stage.issuer.counts();
    assert_eq!(
        rounds,
        Rounds {
            calls: 2 * ROUNDS,
            ..Rounds::default()
        },
        "{owner:?}: {counts:?}\n{}",
        stage.controls[0].log().tail(30)
    );
    assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_two_owners_is_lost_where_one_refreshes_past_the_relay() -> anyhow::Result<()> {
    let (registered, learned) = tokio::join!(fails(Owner::Registered), fails(Owner::LearnedOnly));
    registered.and(learned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_two_owners_is_kept_where_both_refresh_through_the_relay() -> anyhow::Result<()> {
    let (registered, learned) = tokio::join!(holds(Owner::RegisteredBehindRelay), holds(Owner::Relay));
    registered.and(learned)
}
