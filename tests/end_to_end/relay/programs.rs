//! Envoy's own filter and the aggregator through the whole story; oauth2-proxy, and the long outage, are in tests/relay.

use tokenward_tests::relay::{IssuerKind, ProgramKind, Story, Times};

/// Plays a story behind the relay, and holds it to its promises.
async fn keeps_its_login(program: ProgramKind, issuer: IssuerKind) -> anyhow::Result<()> {
    let story = Story {
        program,
        issuer,
        relayed: true,
        times: Times::short(program),
        only_outage: false,
    };
    match story.play().await? {
        Some(outcome) => outcome.ensure_promises(),
        None => Ok(()),
    }
}

/// Side by side: each of them mostly waits for the end of a token.
#[tokio::test(flavor = "multi_thread")]
async fn programs_that_refresh_by_themselves_keep_their_logins_behind_the_relay() -> anyhow::Result<()> {
    let outcomes = tokio::join!(
        keeps_its_login(ProgramKind::EnvoyOAuth2, IssuerKind::Dex(0)),
        keeps_its_login(ProgramKind::Aggregator, IssuerKind::Dex(0)),
        keeps_its_login(ProgramKind::Aggregator, IssuerKind::Strict),
    );
    outcomes.0.and(outcomes.1).and(outcomes.2)
}
