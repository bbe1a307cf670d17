//! Log lines that a caller could make as many of as it likes.

use tokenward_protocol::token_endpoint::Reason;

use crate::deployment::{ADMIN, Deployment, Plan};
use crate::secrecy::Captured;

fn count(captured: &Captured, what: &str) -> usize {
    captured.text().lines().filter(|line| line.contains(what)).count()
}

#[tokio::test]
async fn a_pair_that_fails_and_is_served_by_turns_is_one_warning_and_one_recovery_a_minute()
-> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let deployment = Deployment::start(Plan::default()).await?;
    let good = deployment.log_in("s-1").await?.id_token;
    // The same user's, with no valid signature.
    let bad = deployment
        .dex
        .mint(ADMIN, "muster")
        .signed_by_a_stranger()
        .token();
    for _ in 0..50 {
        assert_eq!(
            deployment.ask(&bad).send().await?.refusal(),
            (400, "subject_rejected")
        );
        let served = deployment.ask(&good).reason(Reason::Stale).send().await?;
        assert_eq!(served.status, 200);
    }
    assert_eq!(
        (
            count(&captured, "no token"),
            count(&captured, "are available again")
        ),
        (1, 1)
    );
    deployment.advance(61);
    assert_eq!(deployment.ask(&bad).send().await?.status, 400);
    assert_eq!(deployment.ask(&good).send().await?.status, 200);
    assert_eq!(
        (
            count(&captured, "no token"),
            count(&captured, "are available again")
        ),
        (2, 2)
    );
    Ok(())
}

#[tokio::test]
async fn thousands_of_made_up_pairs_do_not_fill_the_log() -> anyhow::Result<()> {
    let (captured, _guard) = Captured::start(tracing::Level::INFO);
    let deployment = Deployment::start(Plan::default()).await?;
    let good = deployment.log_in("s-1").await?.id_token;
    for number in 0..1500 {
        let session = format!("made-up-{number}");
        let answer = deployment.ask(&good).session(&session).send().await?;
        assert_eq!(answer.refusal(), (400, "unknown_session"));
    }
    let warnings = count(&captured, "no token");
    assert!((1..=1001).contains(&warnings), "{warnings} warnings");
    Ok(())
}
