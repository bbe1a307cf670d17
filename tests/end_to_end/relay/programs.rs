//! Envoy's own filter and the aggregator through the whole story; oauth2-proxy, and the long outage, are in tests/relay.

use tokenward_tests::relay::{IssuerKind, ProgramKind, Story, Times};

/// Plays a story behind the relay, and holds it to its promises.
async fn keeps_its_login(program: ProgramKind, issuer: IssuerKind) -> anyhow::Result<()> {
    let story = Story {
        program,
        issuer,
        relayed: true,
        times: Times::SHORT,
        only_outage: false,
    };
    match story.play().await? {
        Some(outcome) => outcome.ensure_promises(),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoys_oauth2_filter_behind_the_relay_keeps_its_login_at_dex() -> anyhow::Result<()> {
    keeps_its_login(ProgramKind::EnvoyOAuth2, IssuerKind::Dex(0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_behind_the_relay_keeps_its_login_at_dex() -> anyhow::Result<()> {
    keeps_its_login(ProgramKind::Aggregator, IssuerKind::Dex(0)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_behind_the_relay_keeps_its_login_at_a_strict_issuer() -> anyhow::Result<()> {
    keeps_its_login(ProgramKind::Aggregator, IssuerKind::Strict).await
}
