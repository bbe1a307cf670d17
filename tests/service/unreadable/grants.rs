//! A grant's record that cannot be read.

use std::time::Duration;

use tokenward_harness::issuer::DexConfig;

use super::stage::{AWAY, GARBLED, NEWER, UNKNOWN, asked, grant_of, lying_at, on, plant, warnings};
use crate::deployment::{Deployment, Plan, at_once};
use crate::secrecy::Captured;

const REPLACED: &str = "a login replaced a grant record that cannot be read";
const REFUSED: &str = "a newer version wrote the existing record";

#[tokio::test]
async fn a_login_takes_the_place_of_a_grant_that_cannot_be_read() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let before = deployment.log_in("s-1").await?;
        for (round, bytes) in GARBLED.into_iter().enumerate() {
            let planted = plant(&deployment, &grant_of(&deployment), bytes).await?;
            assert_eq!(asked(&deployment, &before.id_token, "s-1").await?.refusal(), AWAY);
            assert_eq!(deployment.status("s-1").await?.refusal(), AWAY);
            let login = deployment.log_in("s-1").await?;
            let answer = asked(&deployment, &login.id_token, "s-1").await?;
            assert_eq!(
                (answer.status, answer.token()),
                (200, login.id_token.as_str()),
                "{bytes:?}"
            );
            assert!(lying_at(&deployment, &grant_of(&deployment)).await?.revision > planted.revision);
            deployment.advance(301);
            let answer = asked(&deployment, &login.id_token, "s-1").await?;
            assert_eq!(answer.status, 200, "{bytes:?}: {answer:?}");
            // Each a minute after the one before.
            assert_eq!(warnings(&captured, REPLACED), round + 1, "{bytes:?}");
        }
        let counts = deployment.dex.counts();
        assert_eq!(
            (counts.refreshes_presented, counts.refreshes_succeeded),
            (GARBLED.len(), GARBLED.len())
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_a_newer_version_wrote_is_left_to_it() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        deployment.log_in("s-1").await?;
        let planted = plant(&deployment, &grant_of(&deployment), NEWER).await?;
        let login = deployment.dex.log_in(crate::deployment::ADMIN, "muster").await?;
        for _ in 0..3 {
            let put = deployment.put_login("s-1", &login).await?;
            assert_eq!(put.refusal(), AWAY);
        }
        assert_eq!(lying_at(&deployment, &grant_of(&deployment)).await?, planted);
        assert_eq!(
            (warnings(&captured, REFUSED), warnings(&captured, REPLACED)),
            (1, 0)
        );
    }
    Ok(())
}

#[tokio::test]
async fn without_a_refresh_token_or_a_store_that_answers_nothing_is_superseded() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-1").await?;
        let planted = plant(&deployment, &grant_of(&deployment), GARBLED[3]).await?;
        let put = deployment.put("s-1", &login.id_token, None).await?;
        assert_eq!(put.refusal(), AWAY);
        for operation in ["read", "write", "lineage"] {
            deployment.store().set_broken(Some(operation));
            let put = deployment.put_login("s-1", &login).await?;
            assert_eq!(put.refusal(), AWAY, "{operation}");
            deployment.store().set_broken(None);
            assert_eq!(lying_at(&deployment, &grant_of(&deployment)).await?, planted);
        }
    }
    Ok(())
}

/// The record may have been a sign-out everywhere: nothing from before the login opens anything until it is put again.
#[tokio::test]
async fn nothing_from_before_opens_the_grant_of_the_login_until_it_is_put_again() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let deployment = on(valkey).await?;
        let before = deployment.log_in("s-1").await?;
        deployment.put_login("s-2", &before).await?;
        plant(&deployment, &grant_of(&deployment), GARBLED[3]).await?;
        deployment.advance(5);
        let login = deployment.log_in("s-3").await?;
        for (token, session) in [
            (&before, "s-1"),
            (&before, "s-2"),
            (&login, "s-1"),
            (&login, "s-2"),
        ] {
            let answer = asked(&deployment, &token.id_token, session).await?;
            assert_eq!(answer.refusal(), UNKNOWN, "{session}");
        }
        assert_eq!(deployment.status("s-2").await?.status, 404);
        assert_eq!(deployment.ask(&before.id_token).send().await?.refusal(), UNKNOWN);
        // The aggregator puts what it has.
        let put = deployment.put_login("s-2", &before).await?;
        assert_eq!((put.status, put.text("state")), (200, "active"));
        let generation = put.body["generation"].clone();
        assert_eq!(deployment.status("s-3").await?.body["generation"], generation);
        for session in ["s-2", "s-3"] {
            let answer = asked(&deployment, &login.id_token, session).await?;
            assert_eq!((answer.status, answer.token()), (200, login.id_token.as_str()));
        }
        assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_sign_out_everywhere_that_cannot_be_read_holds() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let deployment = on(valkey).await?;
        let before = deployment.log_in("s-1").await?;
        // Cut short: the grant is signed out, its session is still there.
        deployment.store().set_broken(Some("members"));
        let subject = deployment.dex.subject(crate::deployment::ADMIN);
        assert_eq!(deployment.sign_out(&subject).await?.refusal(), AWAY);
        deployment.store().set_broken(None);
        plant(&deployment, &grant_of(&deployment), GARBLED[3]).await?;
        deployment.advance(5);
        let login = deployment.log_in("s-2").await?;
        assert_eq!(asked(&deployment, &login.id_token, "s-2").await?.status, 200);
        assert_eq!(
            asked(&deployment, &login.id_token, "s-1").await?.refusal(),
            UNKNOWN
        );
        assert_eq!(deployment.ask(&before.id_token).send().await?.refusal(), UNKNOWN);
    }
    Ok(())
}

#[tokio::test]
async fn of_many_puts_at_once_one_takes_its_place() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-0").await?;
        plant(&deployment, &grant_of(&deployment), GARBLED[3]).await?;
        let sessions: Vec<String> = (0..20).map(|number| format!("s-{number}")).collect();
        let puts = sessions
            .iter()
            .map(|session| deployment.put_login(session, &login));
        let mut generations = Vec::new();
        for put in at_once(puts).await {
            let put = put?;
            assert!(matches!(put.status, 200 | 201), "{put:?}");
            generations.push(put.body["generation"].as_u64());
        }
        generations.dedup();
        assert_eq!(generations.len(), 1, "{generations:?}");
        for session in &sessions {
            assert_eq!(asked(&deployment, &login.id_token, session).await?.status, 200);
        }
        deployment.advance(301);
        let asking = sessions
            .iter()
            .map(|session| asked(&deployment, &login.id_token, session));
        for answer in at_once(asking).await {
            assert_eq!(answer?.status, 200);
        }
        assert_eq!(deployment.dex.counts().refreshes_presented, 1);
    }
    Ok(())
}

/// Whether the login's refresh token was used up stood in the record: at a strict issuer only the issuer still knows.
#[tokio::test]
async fn at_a_strict_issuer_the_login_is_presented_only_when_it_is_unused() -> anyhow::Result<()> {
    for used_up in [false, true] {
        let deployment = Deployment::start(Plan {
            dex: DexConfig::default()
                .id_token_lifetime(Duration::from_secs(300))
                .reuse_interval(Duration::ZERO),
            policy: "strict",
            ..Plan::default()
        })
        .await?;
        let login = deployment.log_in("s-1").await?;
        deployment.advance(301);
        if used_up {
            assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.status, 200);
        }
        plant(&deployment, &grant_of(&deployment), GARBLED[3]).await?;
        let put = deployment.put_login("s-1", &login).await?;
        assert_eq!(put.status, 200);
        deployment.advance(120);
        let mut answer = asked(&deployment, &login.id_token, "s-1").await?;
        if answer.refusal() == (503, "issuer_unavailable") {
            deployment.advance(120);
            answer = asked(&deployment, &login.id_token, "s-1").await?;
        }
        let expected = if used_up { (400, "needs_login") } else { (200, "") };
        assert_eq!(answer.refusal(), expected, "{answer:?}");
        let counts = deployment.dex.counts();
        assert_eq!((counts.refreshes_presented, counts.introspections), (1, 1));
    }
    Ok(())
}
