//! Mistakes of administrators: no login is lost by them, and each works again once they are fixed.

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::parts::keycloak::Realm;
use tokenward_tests::deployment::TokenCall;

use super::stage::{ALICE, CLIENT, PATIENCE, Stage};

/// Repeats the call until it is served, as a client that comes again later does.
async fn until_served(stage: &Stage, call: &TokenCall) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let answer = call.send().await?;
        if answer.status == 200 {
            return Ok(());
        }
        anyhow::ensure!(
            !matches!(answer.text("refusal"), "needs_login" | "unknown_session"),
            "the login is lost: {answer:?}"
        );
        anyhow::ensure!(
            Instant::now() < limit,
            "still {answer:?}: {:?}",
            stage.realm.counts()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum Mistake {
    Secret,
    Client,
    Realm,
}

impl Mistake {
    async fn set(self, stage: &Stage, made: bool) -> anyhow::Result<()> {
        let realm = &stage.realm;
        match self {
            Self::Secret => {
                let secret = if made { "another-secret" } else { CLIENT.1 };
                realm
                    .change_client(CLIENT.0, |client| client["secret"] = json!(secret))
                    .await
            }
            Self::Client => {
                realm
                    .change_client(CLIENT.0, |client| client["enabled"] = json!(!made))
                    .await
            }
            Self::Realm => realm.change(|realm| realm["enabled"] = json!(!made)).await,
        }
    }
}

async fn is_made_and_fixed(mistake: Mistake) -> anyhow::Result<()> {
    let Some(stage) = Stage::set(&format!("a mistake: {mistake:?}")).await? else {
        return Ok(());
    };
    let login = stage.log_in("s-1", ALICE, Realm::ONLINE).await?;
    let call = stage.call("s-1", &login);
    mistake.set(&stage, true).await?;
    for _ in 0..5 {
        let answer = call.send().await?;
        assert_eq!(
            answer.refusal(),
            (500, "issuer_misconfigured"),
            "{mistake:?}: {answer:?}"
        );
    }
    assert_eq!(
        stage.deployment.status("s-1").await?.text("state"),
        "active",
        "{mistake:?}"
    );
    let presented = stage.realm.counts().refreshes_presented;
    assert!((1..=2).contains(&presented), "{mistake:?}: {presented}");
    mistake.set(&stage, false).await?;
    until_served(&stage, &call).await?;
    let counts = stage.realm.counts();
    assert_eq!(counts.refreshes_succeeded, 1, "{mistake:?}: {counts:?}");
    assert_eq!(stage.realm.refreshes().await?.0, 1, "{mistake:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_at_keycloak_is_issuer_misconfigured_and_costs_no_login() -> anyhow::Result<()> {
    is_made_and_fixed(Mistake::Secret).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_client_is_issuer_misconfigured_and_costs_no_login() -> anyhow::Result<()> {
    is_made_and_fixed(Mistake::Client).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_realm_is_issuer_misconfigured_and_costs_no_login() -> anyhow::Result<()> {
    is_made_and_fixed(Mistake::Realm).await
}
