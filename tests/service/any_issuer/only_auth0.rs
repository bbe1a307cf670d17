//! Auth0's tenant setting "Refresh Token Revocation Deletes Grant", and its back-channel logout: Entra ID, Okta and Google have
//! none that a client can receive.

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

#[tokio::test]
async fn a_back_channel_logout_of_one_session_ends_it_at_once_and_leaves_the_other() -> anyhow::Result<()> {
    let stage = Stage::set(Variant::AUTH0).await?;
    let laptop = stage.log_in("laptop").await?;
    let phone = stage.log_in("phone").await?;
    let body = form_urlencoded::Serializer::new(String::new())
        .append_pair("logout_token", &stage.issuer.logout_token(&laptop.id_token)?)
        .finish();
    let url = format!("{}/v1/backchannel-logout", stage.control.urls[0]);
    let request = stage
        .control
        .http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert_eq!(stage.control.request(request).await?.status, 200);
    stage.at_rest().await;
    assert_eq!(stage.issuer.counts().refreshes_presented, 0);
    let ended = stage.ask("laptop", &laptop.id_token).send().await?;
    assert_eq!(ended.status, 400, "{ended:?}");
    stage.expire();
    stage.renewed("phone", &phone.id_token).await?;
    assert_eq!(stage.issuer.counts().refreshes_presented, 1);
    Ok(())
}
