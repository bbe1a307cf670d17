//! Several logins of one user, and logins from before the relay.

use std::collections::BTreeSet;

use tokenward_harness::issuer::Issuer;
use tokenward_harness::parts::{RealDex, StrictIssuer};
use tokenward_tests::relay::{ALICE, IssuerKind, ProgramKind, SERVER, Stage, StagePlan};

use super::double_owner::TIMES;

const ROUNDS: usize = 3;

/// A stage behind the relay with two programs' redirects; `None`, with a line on the terminal, where there is no such
/// issuer.
async fn stage<I: Issuer>(kind: IssuerKind, story: &str) -> anyhow::Result<Option<(Stage<I>, [String; 2])>> {
    if let Some(why) = kind.missing()? {
        tokenward_harness::aloud!("left out: {story}, {}: {why}", kind.name());
        return Ok(None);
    }
    let redirects = [ProgramKind::redirect()?.1, ProgramKind::redirect()?.1];
    let plan = StagePlan {
        relayed: true,
        times: TIMES,
        reuse_interval: kind.reuse_interval(),
        policy: kind.policy(),
        redirect_uris: redirects.to_vec(),
    };
    Ok(Some((Stage::start(plan).await?, redirects)))
}

/// Each refresh token was presented once, and all but so many were taken; no server saw an expired one.
fn assert_presented_once<I: Issuer>(stage: &Stage<I>, refused: usize) {
    let counts = stage.issuer.counts();
    assert_eq!(
        counts.refreshes_presented,
        counts.refreshes_succeeded + refused,
        "{counts:?}\n{}",
        stage.controls[0].log().tail(30)
    );
    let presentations = stage.issuer.presentations();
    let tokens: BTreeSet<_> = presentations.iter().map(|each| &each.fingerprint).collect();
    assert_eq!(tokens.len(), presentations.len());
    assert_eq!(stage.server.counts().rejected_expired, 0);
}

/// Two programs with one client. Dex has one refresh token for a user and a client, so the second login ends the first;
/// oidc-provider has one for each login.
async fn two_programs<I: Issuer>(kind: IssuerKind) -> anyhow::Result<()> {
    let Some((stage, redirects)) = stage::<I>(kind, "two programs").await? else {
        return Ok(());
    };
    let first = stage.aggregator(kind, &redirects[0]).await?;
    let second = stage.aggregator(kind, &redirects[1]).await?;
    first.log_in(ALICE).await?;
    second.log_in(ALICE).await?;
    let both_live = kind == IssuerKind::Strict;
    for round in 0..ROUNDS {
        stage.wait_until_age(TIMES.life).await;
        let of_first = first.call(ALICE, SERVER).await?;
        let answer = second.call(ALICE, SERVER).await?;
        let log = stage.controls[0].log().tail(30);
        let shown = format!("{}, round {round}: {}\n{log}", kind.name(), answer.body);
        assert_eq!(answer.status, 200, "{shown}");
        assert!(!both_live || of_first.status == 200, "{}\n{shown}", of_first.body);
    }
    assert_eq!(first.is_logged_in(ALICE).await, both_live);
    assert!(second.is_logged_in(ALICE).await);
    // The first program's token is Dex's to refuse, once.
    assert_presented_once(&stage, usize::from(!both_live));
    assert_eq!(first.counts().refused, usize::from(!both_live));
    Ok(())
}

/// The route comes when users are logged in already: control learns a login with its next refresh.
async fn installed_later<I: Issuer>(kind: IssuerKind) -> anyhow::Result<()> {
    let Some((stage, redirects)) = stage::<I>(kind, "installed later").await? else {
        return Ok(());
    };
    stage.route_tokens_to_control(false);
    let program = stage.aggregator(kind, &redirects[0]).await?;
    program.log_in(ALICE).await?;
    stage.wait_until_age(TIMES.life).await;
    assert_eq!(program.call(ALICE, SERVER).await?.status, 200);

    stage.route_tokens_to_control(true);
    stage.wait_until_age(TIMES.life).await;
    let old = program.tokens(ALICE).await?.id_token;
    assert_eq!(
        stage.present(&old).await?,
        401,
        "control does not know the login yet"
    );
    let outcomes = program.refresh_many(ALICE, 20).await?;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{}: {failed:?}", kind.name());
    assert_eq!(stage.issuer.counts().refreshes_presented, 2, "20 were one");
    assert_eq!(program.call(ALICE, SERVER).await?.status, 200);
    assert_presented_once(&stage, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logins_of_one_user_behind_the_relay_are_what_their_issuer_makes_of_them() -> anyhow::Result<()> {
    let (dex, strict) = tokio::join!(
        two_programs::<RealDex>(IssuerKind::Dex(0)),
        two_programs::<StrictIssuer>(IssuerKind::Strict),
    );
    dex.and(strict)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_from_before_the_relay_is_learnt_with_the_first_of_twenty_refreshes() -> anyhow::Result<()> {
    let (dex, strict) = tokio::join!(
        installed_later::<RealDex>(IssuerKind::Dex(0)),
        installed_later::<StrictIssuer>(IssuerKind::Strict),
    );
    dex.and(strict)
}
