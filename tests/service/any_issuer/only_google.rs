//! What only Google does: a revocation ends every login of the user, and the hundred and first login ends the first.

use serde_json::json;

use super::stage::{Stage, Variant};

#[tokio::test]
async fn a_revocation_ends_every_device_so_none_is_made_unless_it_is_configured() -> anyhow::Result<()> {
    for (sign_out, revoked, alive) in [(None, 0, 2), (Some("revoke"), 1, 0)] {
        let stage = Stage::with(
            Variant::GOOGLE,
            |_| {},
            |plan, _| plan.issuer["sign_out"] = json!(sign_out),
        )
        .await?;
        stage.log_in("laptop").await?;
        let phone = stage.log_in("phone").await?;
        assert_eq!(stage.control.end("laptop").await?.status, 204);
        stage.at_rest().await;
        assert_eq!(stage.issuer.revoked().len(), revoked, "{sign_out:?}");
        assert_eq!(stage.issuer.logins_alive(), alive, "{sign_out:?}");
        stage.expire();
        let answer = stage.ask("phone", &phone.id_token).send().await?;
        let expected = if alive == 0 { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{sign_out:?}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_hundred_and_first_login_of_a_user_ends_the_first_and_no_other() -> anyhow::Result<()> {
    let stage = Stage::set(Variant::GOOGLE).await?;
    let first = stage.log_in("s-1").await?;
    let second = stage.log_in("s-2").await?;
    for session in 3..=101 {
        stage.log_in(&format!("s-{session}")).await?;
    }
    assert_eq!(stage.issuer.logins_alive(), 100);
    stage.expire();
    let answer = stage.ask("s-1", &first.id_token).send().await?;
    assert_eq!(answer.refusal(), (400, "needs_login"), "{answer:?}");
    stage.renewed("s-2", &second.id_token).await?;
    assert_eq!(stage.issuer.counts().refreshes_presented, 2);
    Ok(())
}
