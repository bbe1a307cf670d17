//! A store that went back in time: restored from a snapshot, or a replica that never received the last writes. It contains
//! a refresh token that is used up.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::valkey::ValkeyStore;
use tokenward_harness::issuer::{DexConfig, Endpoint};
use tokenward_harness::parts::{Detour, Valkey};

use super::{let_leases_expire, on, recovered, save};
use crate::deployment::{Answer, Deployment, Plan, patient_valkey_config};

/// When the snapshot that Valkey restarted with was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Snapshot {
    /// Before the refresh began: it contains no trace of the refresh.
    Before,
    /// After the refresh was announced, before its outcome was stored.
    Between,
}

/// The replica that serves the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heir {
    /// The replica that made the lost refresh.
    Same,
    /// A replica that knows only the store's content.
    Other,
}

struct Aftermath {
    deployment: Deployment,
    _valkey: Valkey,
    login_token: String,
    served: String,
    heir: usize,
}

impl Aftermath {
    /// A login, one refresh, and a Valkey that has forgotten its outcome.
    async fn of(
        snapshot: Snapshot,
        heir: Heir,
        policy: &'static str,
        reuse_interval: Duration,
    ) -> anyhow::Result<Self> {
        let mut valkey = Valkey::start().await?;
        let mut deployment = on(&valkey, policy, reuse_interval).await?;
        let tokens = deployment.log_in("s-1").await?;
        deployment.advance(301);
        if snapshot == Snapshot::Before {
            save(&valkey).await?;
        }
        deployment.dex.hold(Endpoint::Refresh);
        let ask = deployment.ask(&tokens.id_token);
        let (answer, saved) = tokio::join!(ask.send(), async {
            deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
            let saved = match snapshot {
                Snapshot::Before => Ok(()),
                Snapshot::Between => save(&valkey).await,
            };
            deployment.dex.release(Endpoint::Refresh);
            saved
        });
        saved?;
        let served = answer?;
        assert_eq!(served.status, 200, "{served:?}");
        valkey.kill()?;
        valkey.restart().await?;
        recovered(&deployment).await?;
        let_leases_expire(&valkey).await?;
        let heir = match heir {
            Heir::Same => 0,
            Heir::Other => deployment.add_replica().await?,
        };
        Ok(Self {
            login_token: tokens.id_token,
            served: served.token().to_owned(),
            deployment,
            _valkey: valkey,
            heir,
        })
    }

    async fn ask(&self) -> anyhow::Result<Answer> {
        let deployment = &self.deployment;
        deployment
            .ask(&self.login_token)
            .session("s-1")
            .replica(self.heir)
            .send()
            .await
    }

    fn presented(&self) -> usize {
        self.deployment.dex.counts().refreshes_presented
    }
}

#[tokio::test]
async fn the_replica_of_the_lost_refresh_restores_its_outcome_and_presents_nothing_again()
-> anyhow::Result<()> {
    for policy in ["tolerant", "strict"] {
        for snapshot in [Snapshot::Before, Snapshot::Between] {
            let after = Aftermath::of(snapshot, Heir::Same, policy, Duration::ZERO).await?;
            let answer = after.ask().await?;
            assert_eq!(
                (answer.status, answer.token()),
                (200, after.served.as_str()),
                "{policy} {snapshot:?}: {answer:?}"
            );
            assert_eq!(after.presented(), 1, "{policy} {snapshot:?}");
            // A restored login works like any other, at another replica too.
            after.deployment.advance(301);
            let answer = after.ask().await?;
            assert_eq!(answer.status, 200, "{policy} {snapshot:?}: {answer:?}");
            assert_ne!(answer.token(), after.served);
            let counts = after.deployment.dex.counts();
            assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (2, 2));
        }
    }
    Ok(())
}

#[tokio::test]
async fn another_replica_recovers_the_login_from_dex_inside_its_reuse_interval() -> anyhow::Result<()> {
    for snapshot in [Snapshot::Before, Snapshot::Between] {
        let after = Aftermath::of(snapshot, Heir::Other, "tolerant", Duration::from_secs(3600)).await?;
        let answer = after.ask().await?;
        assert_eq!(answer.status, 200, "{snapshot:?}: {answer:?}");
        assert_eq!(after.presented(), 2, "{snapshot:?}");
        after.deployment.advance(301);
        assert_eq!(after.ask().await?.status, 200, "{snapshot:?}");
        assert_eq!(after.presented(), 3, "{snapshot:?}");
    }
    Ok(())
}

#[tokio::test]
async fn outside_the_reuse_interval_another_replica_presents_once_and_reports_that_a_login_is_needed()
-> anyhow::Result<()> {
    for snapshot in [Snapshot::Before, Snapshot::Between] {
        let after = Aftermath::of(snapshot, Heir::Other, "tolerant", Duration::from_secs(1)).await?;
        after.deployment.advance(61);
        // While the lost presentation may still be in progress the issuer's refusal is not final.
        let mut answer = after.ask().await?;
        if answer.refusal() == (503, "issuer_unavailable") {
            assert_eq!((snapshot, after.presented()), (Snapshot::Between, 2));
            after.deployment.advance(61);
            answer = after.ask().await?;
        }
        for _ in 0..3 {
            assert_eq!(answer.refusal(), (400, "needs_login"), "{snapshot:?}");
            assert_eq!(answer.text("error"), "invalid_grant");
            answer = after.ask().await?;
        }
        assert!(after.presented() <= 3, "{snapshot:?}: {}", after.presented());
        // The data is gone, and a person logs in.
        let tokens = after.deployment.log_in("s-1").await?;
        let answer = after.ask().await?;
        assert_eq!((answer.status, answer.token()), (200, tokens.id_token.as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn at_a_strict_issuer_another_replica_presents_nothing_that_was_announced() -> anyhow::Result<()> {
    let after = Aftermath::of(Snapshot::Between, Heir::Other, "strict", Duration::ZERO).await?;
    // While the presenter may still return with the answer, the login is not given up.
    assert_eq!(after.ask().await?.refusal(), (503, "issuer_unavailable"));
    after.deployment.advance(61);
    for _ in 0..3 {
        assert_eq!(after.ask().await?.refusal(), (400, "needs_login"));
    }
    assert_eq!(after.presented(), 1);
    // The replica that knows the outcome still restores it now.
    let known = after
        .deployment
        .ask(&after.login_token)
        .session("s-1")
        .send()
        .await?;
    assert_eq!((known.status, known.token()), (200, after.served.as_str()));
    assert_eq!(after.presented(), 1);
    assert_eq!(after.ask().await?.token(), after.served);
    Ok(())
}

/// The replica detects that the store has another lineage, waits for refreshes that may still be in progress, and queries
/// the issuer before it presents anything.
#[tokio::test]
async fn at_a_strict_issuer_another_replica_presents_nothing_whose_trace_the_store_has_lost()
-> anyhow::Result<()> {
    let after = Aftermath::of(Snapshot::Before, Heir::Other, "strict", Duration::ZERO).await?;
    assert_eq!(after.ask().await?.refusal(), (503, "issuer_unavailable"));
    after.deployment.advance(61);
    for _ in 0..3 {
        let answer = after.ask().await?;
        assert_eq!(answer.refusal(), (400, "needs_login"));
        assert!(
            answer.text("error_description").contains("the store has lost"),
            "{answer:?}"
        );
    }
    let counts = after.deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.introspections), (1, 1));
    // The replica that knows the outcome still restores it now, and the login continues from there.
    let known = after
        .deployment
        .ask(&after.login_token)
        .session("s-1")
        .send()
        .await?;
    assert_eq!(known.status, 200, "{known:?}");
    after.deployment.advance(301);
    assert_eq!(after.ask().await?.status, 200);
    let counts = after.deployment.dex.counts();
    assert_eq!(counts.refreshes_presented, counts.refreshes_succeeded);
    Ok(())
}

#[tokio::test]
async fn two_refreshes_that_were_lost_together_are_both_restored() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = on(&valkey, "strict", Duration::ZERO).await?;
    let tokens = deployment.log_in("s-1").await?;
    save(&valkey).await?;
    let mut served = String::new();
    for _ in 0..2 {
        deployment.advance(301);
        let answer = deployment.ask(&tokens.id_token).send().await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        served = answer.token().to_owned();
    }
    valkey.kill()?;
    valkey.restart().await?;
    recovered(&deployment).await?;
    let answer = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(
        (answer.status, answer.token()),
        (200, served.as_str()),
        "{answer:?}"
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, 2);
    Ok(())
}

#[tokio::test]
async fn a_lost_login_is_not_replaced_by_the_outcome_of_an_older_one() -> anyhow::Result<()> {
    let mut valkey = Valkey::start().await?;
    let deployment = on(&valkey, "tolerant", Duration::ZERO).await?;
    let first = deployment.log_in("s-1").await?;
    deployment.advance(301);
    assert_eq!(deployment.ask(&first.id_token).send().await?.status, 200);
    save(&valkey).await?;
    // The second login ends the first one's refresh token at Dex, and Valkey loses it.
    let second = deployment.log_in("s-1").await?;
    valkey.kill()?;
    valkey.restart().await?;
    recovered(&deployment).await?;
    deployment.advance(301);
    let answer = deployment.ask(&second.id_token).send().await?;
    assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
    let again = deployment.put_login("s-1", &second).await?;
    assert_eq!((again.status, again.text("state")), (200, "active"));
    assert_eq!(deployment.ask(&second.id_token).send().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_sign_out_is_not_undone_by_what_is_remembered() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let deployment = on(&valkey, "tolerant", Duration::ZERO).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    assert_eq!(deployment.end("s-1").await?.status, 204);
    assert_eq!(
        deployment.ask(&tokens.id_token).send().await?.refusal(),
        (400, "unknown_session")
    );
    // The old login is dead when it is registered again: its refresh token was rotated, and no request to the issuer is
    // needed to find out.
    deployment.put_login("s-1", &tokens).await?;
    assert_eq!(
        deployment.ask(&tokens.id_token).send().await?.refusal(),
        (400, "needs_login")
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_promoted_replica_without_the_last_writes_loses_no_login() -> anyhow::Result<()> {
    let mut primary = Valkey::start_on_a_port(&[]).await?;
    let port = primary.port().unwrap_or_default();
    let of_primary = format!("127.0.0.1 {port}");
    let replica =
        Valkey::start_on_a_port(&["--replicaof", &of_primary, "--repl-diskless-sync-delay", "0"]).await?;
    let detour = Detour::to(port).await?;
    let store = ValkeyStore::connect(patient_valkey_config(detour.valkey_url())).await?;
    let deployment = Deployment::start(Plan {
        dex: DexConfig::default().id_token_lifetime(Duration::from_secs(300)),
        policy: "strict",
        engine: Some(Arc::new(store)),
        ..Plan::default()
    })
    .await?;
    let tokens = deployment.log_in("s-1").await?;
    replica.catches_up_with(&primary, super::PATIENCE).await?;
    // From here on nothing reaches the replica, as in a partition.
    assert_eq!(replica.command(&["REPLICAOF", "NO", "ONE"]).await?, "+OK\r\n");
    deployment.advance(301);
    let served = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(served.status, 200, "{served:?}");
    detour.lead_to(replica.port().unwrap_or_default());
    primary.kill()?;
    recovered(&deployment).await?;
    let answer = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(
        (answer.status, answer.token()),
        (200, served.token()),
        "{answer:?}"
    );
    assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    Ok(())
}
