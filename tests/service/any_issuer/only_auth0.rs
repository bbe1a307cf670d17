//! Auth0's tenant setting "Refresh Token Revocation Deletes Grant".

use serde_json::json;

use super::stage::{Stage, Variant};

/// It is off for tenants since 2021; docs/issuers.md says what it does.
#[tokio::test]
async fn where_a_revocation_deletes_the_grant_one_device_ends_the_other_unless_nothing_is_revoked()
-> anyhow::Result<()> {
    for (sign_out, revoked, alive) in [("revoke", 1, 0), ("none", 0, 2)] {
        let stage = Stage::with(
            Variant::AUTH0,
            |config| config.revocation_deletes_grant = true,
            |plan, _| plan.issuer["sign_out"] = json!(sign_out),
        )
        .await?;
        stage.log_in("laptop").await?;
        let phone = stage.log_in("phone").await?;
        assert_eq!(stage.control.end("laptop").await?.status, 204);
        stage.at_rest().await;
        assert_eq!(stage.issuer.revoked().len(), revoked, "{sign_out}");
        assert_eq!(stage.issuer.logins_alive(), alive, "{sign_out}");
        stage.expire();
        let answer = stage.ask("phone", &phone.id_token).send().await?;
        let expected = if alive == 0 { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{sign_out}: {answer:?}");
    }
    Ok(())
}
