//! A record with tokens that are sealed by a lost key.

use serde_json::json;
use tokenward_control::config::Config;
use tokenward_control::serve::reload::apply;

use super::stage::{AWAY, asked, on, warnings};
use crate::deployment::Deployment;
use crate::secrecy::Captured;

const REPLACED: &str = "a login replaced tokens that no configured sealing key opens";

/// The configuration with another sealing key and without the one before.
fn without_the_key(deployment: &Deployment) -> anyhow::Result<Config> {
    deployment.write_file("key-2", "c2VhbGluZy1rZXktbnVtYmVyLXR3by0zMi1ieXRlcyE=")?;
    deployment.changed(|document| {
        document["sealing"] = json!({"current": {"id": "k2", "key": {"file": "@key-2"}}});
    })
}

#[tokio::test]
async fn the_same_login_put_again_is_sealed_again_and_goes_on() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-1").await?;
        deployment.put_login("s-2", &login).await?;
        apply(deployment.service(0), without_the_key(&deployment)?)?;
        assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.refusal(), AWAY);
        for _ in 0..3 {
            let put = deployment.put_login("s-1", &login).await?;
            assert_eq!((put.status, &put.body["generation"]), (200, &1.into()));
        }
        assert_eq!(warnings(&captured, REPLACED), 1);
        for session in ["s-1", "s-2"] {
            assert_eq!(asked(&deployment, &login.id_token, session).await?.status, 200);
        }
        deployment.advance(301);
        assert_eq!(asked(&deployment, &login.id_token, "s-2").await?.status, 200);
        let counts = deployment.dex.counts();
        assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    }
    Ok(())
}

/// An operator on call must not look for an outage of the store.
#[tokio::test]
async fn tokens_that_no_key_opens_differ_from_a_store_that_is_away() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-1").await?;
        apply(deployment.service(0), without_the_key(&deployment)?)?;
        for _ in 0..3 {
            let answer = asked(&deployment, &login.id_token, "s-1").await?;
            assert_eq!(answer.refusal(), AWAY);
            assert!(
                answer.text("error_description").contains("sealing.previous"),
                "{answer:?}"
            );
        }
        assert_eq!(warnings(&captured, "cannot be read or opened"), 1);
        deployment.advance(61);
        deployment.store().set_broken(Some("read"));
        assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.refusal(), AWAY);
        assert_eq!(warnings(&captured, "no token"), 2);
        assert_eq!(warnings(&captured, "cannot be read or opened"), 1);
    }
    Ok(())
}

/// The stored refresh token came after the login's, which is used up: with the key it is good again.
#[tokio::test]
async fn a_login_with_a_used_up_refresh_token_overwrites_nothing_that_the_key_can_open_again()
-> anyhow::Result<()> {
    let deployment = on(false).await?;
    let login = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let served = asked(&deployment, &login.id_token, "s-1").await?;
    assert_eq!(served.status, 200);
    apply(deployment.service(0), without_the_key(&deployment)?)?;
    let put = deployment.put_login("s-1", &login).await?;
    assert_eq!(put.status, 200);
    assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.refusal(), AWAY);
    apply(deployment.service(0), deployment.changed(|_| ())?)?;
    let answer = asked(&deployment, &login.id_token, "s-1").await?;
    assert_eq!((answer.status, answer.token()), (200, served.token()));
    deployment.advance(301);
    assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.status, 200);
    let counts = deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (2, 2));
    Ok(())
}

#[tokio::test]
async fn a_new_login_goes_on_for_all_sessions_and_logs_what_it_replaced() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let before = deployment.log_in("s-1").await?;
        apply(deployment.service(0), without_the_key(&deployment)?)?;
        let login = deployment.log_in("s-2").await?;
        for session in ["s-1", "s-2"] {
            let answer = asked(&deployment, &before.id_token, session).await?;
            assert_eq!((answer.status, answer.token()), (200, login.id_token.as_str()));
        }
        assert_eq!(warnings(&captured, REPLACED), 1);
        assert!(captured.text().contains("sealing.previous"));
    }
    Ok(())
}
