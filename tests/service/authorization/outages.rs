//! What logins at our authorization server live through: key changes, clocks that differ, a store that is away.

use serde_json::{Value, json};

use super::client::{Client, assert_well_formed};
use super::refresh::{families, logged_in};

#[tokio::test]
async fn a_login_lives_through_two_changes_of_the_signing_keys() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let mut token = client.redeem(0, &login.code).await?.refresh_token()?;
    let mut key_ids = Vec::new();
    for keys in [
        json!({"current": {"file": "@signing-1"}, "next": {"file": "@signing-2"}}),
        json!({"current": {"file": "@signing-2"}, "next": {"file": "@signing-1"}}),
        json!({"current": {"file": "@signing-2"}}),
    ] {
        let next = deployment.changed(|document| document["authorization"]["signing_keys"] = keys)?;
        let current = deployment.service(0);
        current.replace(current.service().succeeded_by(next)?);
        let reply = client.refresh(0, &token).await?;
        // The answer of before the change again, although another key signs now.
        let again = client.refresh(0, &token).await?;
        assert_eq!(again.body, reply.body);
        token = reply.refresh_token()?;
        key_ids.push(key_id(reply.text("access_token"))?);
    }
    assert_ne!(key_ids[0], key_ids[1]);
    assert_eq!(key_ids[1], key_ids[2]);
    Ok(())
}

fn key_id(token: &str) -> anyhow::Result<String> {
    use base64::Engine as _;
    let header = token.split('.').next().unwrap_or_default();
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header)?;
    let header: Value = serde_json::from_slice(&header)?;
    Ok(header["kid"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn replicas_whose_clocks_differ_by_three_minutes_lose_no_login_and_keep_the_window()
-> anyhow::Result<()> {
    let (mut deployment, _, login) = logged_in(1).await?;
    let fast = deployment.add_replica_ahead(90).await?;
    let slow = deployment.add_replica_ahead(-90).await?;
    let client = Client::of(&deployment);
    let mut token = client.redeem(slow, &login.code).await?.refresh_token()?;
    for (rotating, repeating) in [
        (fast, slow),
        (slow, fast),
        (0, fast),
        (fast, 0),
        (0, slow),
        (slow, 0),
    ] {
        let reply = client.refresh(rotating, &token).await?;
        // The window is the store's: neither replica's clock makes it longer or shorter.
        deployment.advance(59);
        let again = client.refresh(repeating, &token).await?;
        assert_eq!(
            again.text("refresh_token"),
            reply.text("refresh_token"),
            "{again:?}"
        );
        assert_eq!(again.text("access_token"), reply.text("access_token"));
        let left = again.body["expires_in"].as_u64().unwrap_or_default();
        assert!((1..=3480).contains(&left), "{again:?}");
        token = reply.refresh_token()?;
    }
    let reply = client.refresh(slow, &token).await?;
    deployment.advance(61);
    let late = client.refresh(slow, &token).await?;
    assert_eq!(late.error(), (400, "invalid_grant"), "{late:?}");
    assert_eq!(reply.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_store_away_for_two_minutes_uses_nothing_up() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let token = client.redeem(0, &login.code).await?.refresh_token()?;
    deployment.store().set_off(true);
    for _ in 0..4 {
        let refused = client.refresh(0, &token).await?;
        assert_eq!(refused.error(), (503, "temporarily_unavailable"), "{refused:?}");
        assert_well_formed(&refused);
        let revoked = client.revoke(&token).await?;
        assert_eq!(revoked.error(), (503, "temporarily_unavailable"), "{revoked:?}");
        deployment.advance(30);
    }
    deployment.store().set_off(false);
    let next = client.refresh(0, &token).await?.refresh_token()?;
    client.refresh(0, &next).await?.refresh_token()?;
    assert_eq!(families(&deployment).await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_answer_of_the_store_that_is_lost_costs_no_login_wherever_it_is_lost() -> anyhow::Result<()> {
    // The writes of a refresh are the answer and the family; those of a redemption the family and the code.
    for operation in ["read", "write"] {
        for count in 1..=3 {
            let (deployment, client, login) = logged_in(1).await?;
            deployment.store().lose_answers(count);
            let mut reply = client.redeem(0, &login.code).await?;
            for _ in 0..count {
                if reply.status == 503 {
                    reply = client.redeem(0, &login.code).await?;
                }
            }
            let mut token = reply.refresh_token()?;
            deployment.store().lose_answers(0);
            for _ in 0..3 {
                if operation == "write" {
                    deployment.store().lose_answers(count);
                } else {
                    deployment.store().set_broken(Some("read"));
                    assert_eq!(client.refresh(0, &token).await?.status, 503);
                    deployment.store().set_broken(None);
                }
                let mut reply = client.refresh(0, &token).await?;
                for _ in 0..3 {
                    if reply.status == 503 {
                        reply = client.refresh(0, &token).await?;
                    }
                }
                deployment.store().lose_answers(0);
                token = reply.refresh_token()?;
            }
            assert_eq!(families(&deployment).await?, 1, "{operation} {count}");
        }
    }
    Ok(())
}
