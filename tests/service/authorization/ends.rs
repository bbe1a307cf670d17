//! How a login at our authorization server ends, and what does not end it.

use std::time::Duration;

use serde_json::json;
use tokenward_harness::issuer::{Endpoint, Failure};

use secrecy::ExposeSecret as _;
use tokenward_control::authorization::family::token::new_session_id;

use super::client::{Client, Login, authorized, log_in};
use super::refresh::{families, logged_in, start};
use super::stage;
use crate::deployment::{ADMIN, AGGREGATOR, Deployment};
use crate::logout::{log_out, logout_token};

/// A deployment with two logins of one user: one with its refresh token, one with its code still unused.
struct Two {
    deployment: Deployment,
    client: Client,
    login: Login,
    token: String,
    unused: Login,
}

async fn two_logins() -> anyhow::Result<Two> {
    let (deployment, client, login) = logged_in(1).await?;
    let token = client.redeem(0, &login.code).await?.refresh_token()?;
    let unused = log_in(&deployment, &deployment.service(0).service(), ADMIN).await?;
    Ok(Two {
        deployment,
        client,
        login,
        token,
        unused,
    })
}

impl Two {
    async fn refreshed(&self) -> anyhow::Result<(u16, String)> {
        let reply = self.client.refresh(0, &self.token).await?;
        Ok((reply.status, reply.text("error").to_owned()))
    }

    async fn redeemed(&self) -> anyhow::Result<(u16, String)> {
        let reply = self.client.redeem(0, &self.unused.code).await?;
        Ok((reply.status, reply.text("error").to_owned()))
    }
}

fn ended() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

#[tokio::test]
async fn the_end_of_a_session_ends_its_refresh_tokens_and_no_others() -> anyhow::Result<()> {
    let two = two_logins().await?;
    assert_eq!(two.deployment.end(&two.login.session).await?.status, 204);
    assert_eq!(families(&two.deployment).await?, 0);
    assert_eq!(two.refreshed().await?, ended());
    assert_eq!(two.redeemed().await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn an_explanation_states_that_the_login_was_made_here() -> anyhow::Result<()> {
    let two = two_logins().await?;
    let url = format!("{}/v1/explain?server=first", two.deployment.urls[0]);
    let request = || {
        let request = two.deployment.http.get(&url).bearer_auth(AGGREGATOR);
        request.header("x-tokenward-session", &two.login.session)
    };
    let explained = two.deployment.request(request()).await?;
    assert_eq!(
        explained.body["session"]["logged_in"],
        json!("here"),
        "{explained:?}"
    );
    assert!(explained.body["pair"]["digest"].is_string(), "{explained:?}");
    two.deployment.end(&two.login.session).await?;
    let ended = two.deployment.request(request()).await?;
    assert_eq!(ended.body["session"]["known"], json!(false), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_sign_out_of_the_user_ends_refresh_tokens_and_unused_codes() -> anyhow::Result<()> {
    let two = two_logins().await?;
    let subject = two.deployment.dex.subject(ADMIN);
    let signed_out = two.deployment.sign_out(&subject).await?;
    assert_eq!(signed_out.body["sessions"], json!(2), "{signed_out:?}");
    assert_eq!(families(&two.deployment).await?, 0);
    assert_eq!(two.refreshed().await?, ended());
    assert_eq!(two.redeemed().await?, ended());
    Ok(())
}

#[tokio::test]
async fn a_logout_of_the_user_by_the_issuer_ends_refresh_tokens_and_unused_codes() -> anyhow::Result<()> {
    let two = two_logins().await?;
    let token = logout_token(&two.deployment, "one").token();
    assert_eq!(log_out(&two.deployment, &token).await?.status, 200);
    assert_eq!(families(&two.deployment).await?, 0);
    assert_eq!(two.refreshed().await?, ended());
    assert_eq!(two.redeemed().await?, ended());
    Ok(())
}

#[tokio::test]
async fn a_logout_of_the_issuers_session_ends_the_login_that_was_made_in_it_and_no_other()
-> anyhow::Result<()> {
    let (deployment, client, other) = logged_in(1).await?;
    let kept = client.redeem(0, &other.code).await?.refresh_token()?;
    let service = deployment.service(0).service();
    let session = new_session_id()?.expose_secret().to_owned();
    let id_token = deployment
        .dex
        .mint(ADMIN, "muster")
        .claim("sid", "at the issuer")
        .token();
    let put = deployment
        .put(&session, &id_token, Some("a refresh token of the issuer"))
        .await?;
    anyhow::ensure!(put.status < 300, "{put:?}");
    let now_ms = u64::try_from(deployment.dex.clock().now_ms())?;
    let code = service.issue_code(&authorized(&session, now_ms)).await;
    let code = code.map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
    let token = client.redeem(0, code.expose_secret()).await?.refresh_token()?;

    let logout = logout_token(&deployment, "one")
        .claim("sid", "at the issuer")
        .without("sub")
        .token();
    assert_eq!(log_out(&deployment, &logout).await?.status, 200);
    let refused = client.refresh(0, &token).await?;
    assert_eq!(refused.error(), (400, "invalid_grant"), "{refused:?}");
    client.refresh(0, &kept).await?.refresh_token()?;
    assert_eq!(families(&deployment).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_revocation_by_the_client_ends_its_login_and_an_unknown_token_is_no_error() -> anyhow::Result<()> {
    let two = two_logins().await?;
    let mut other = two.client.clone();
    "https://zed.dev/oauth/client-metadata.json".clone_into(&mut other.id);
    let foreign = other.revoke(&two.token).await?;
    assert_eq!(foreign.error(), (400, "invalid_grant"), "{foreign:?}");
    for unknown in ["twr1.AAAA", "anything"] {
        assert_eq!(two.client.revoke(unknown).await?.status, 200);
    }
    let tokens = two.client.refresh(0, &two.token).await?;
    assert_eq!(tokens.status, 200, "none of these ended anything: {tokens:?}");
    let access = two.client.revoke(tokens.text("access_token")).await?;
    assert_eq!(access.error(), (400, "unsupported_token_type"), "{access:?}");

    let newest = tokens.refresh_token()?;
    for _ in 0..2 {
        let revoked = two.client.revoke(&newest).await?;
        assert_eq!((revoked.status, &revoked.body), (200, &json!({})));
    }
    assert_eq!(two.deployment.status(&two.login.session).await?.status, 404);
    assert_eq!(
        two.client.refresh(0, &newest).await?.error(),
        (400, "invalid_grant")
    );
    assert_eq!(two.redeemed().await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn a_dead_upstream_login_sends_the_client_to_a_new_one_and_an_issuer_that_is_down_does_not()
-> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let mut token = client.redeem(0, &login.code).await?.refresh_token()?;
    let tokens = deployment.dex.log_in(ADMIN, "muster").await?;
    let ask = deployment.ask(&tokens.id_token).session(&login.session);
    deployment.advance(301);
    deployment
        .dex
        .fail_next(Endpoint::Refresh, 1, &Failure::CloseBeforeAnswer);
    assert_eq!(ask.send().await?.status, 503);
    let presented = deployment.dex.counts().refreshes_presented;
    for _ in 0..3 {
        token = client.refresh(0, &token).await?.refresh_token()?;
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, presented);
    deployment.advance(60);
    let dead = Failure::answer(400, r#"{"error":"invalid_grant"}"#);
    deployment.dex.fail_next(Endpoint::Refresh, 10, &dead);
    for _ in 0..10 {
        deployment.advance(60);
        if ask.send().await?.refusal() == (400, "needs_login") {
            break;
        }
    }
    assert_eq!(ask.send().await?.refusal(), (400, "needs_login"));
    for _ in 0..3 {
        let refused = client.refresh(0, &token).await?;
        assert_eq!(refused.error(), (400, "invalid_grant"), "{refused:?}");
    }
    Ok(())
}

const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn a_login_lasts_as_long_as_it_is_refreshed_and_not_beyond_its_end() -> anyhow::Result<()> {
    let lifetimes = json!({"refresh_token_lifetime": "240h", "login_lifetime": "960h"});
    let mut plan = stage::plan(&lifetimes)?;
    // Far shorter than the login: each refresh extends session and grant.
    plan.settings["session_lifetime"] = json!("240h");
    let (deployment, client, login) = start(plan).await?;
    let mut token = client.redeem(0, &login.code).await?.refresh_token()?;
    for day in [9, 18, 27, 36] {
        deployment.advance(9 * DAY);
        let reply = client.refresh(0, &token).await?;
        assert_eq!(reply.status, 200, "day {day}: {reply:?}");
        token = reply.refresh_token()?;
        assert_eq!(deployment.status(&login.session).await?.status, 200);
    }
    deployment.advance(4 * DAY + 1);
    let over = client.refresh(0, &token).await?;
    assert_eq!(over.error(), (400, "invalid_grant"), "{over:?}");
    assert_eq!(families(&deployment).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_login_that_no_client_refreshes_expires() -> anyhow::Result<()> {
    let (deployment, client, login) = start(stage::plan(&json!({"refresh_token_lifetime": "240h"}))?).await?;
    let token = client.redeem(0, &login.code).await?.refresh_token()?;
    deployment.advance(10 * DAY + 1);
    let expired = client.refresh(0, &token).await?;
    assert_eq!(expired.error(), (400, "invalid_grant"), "{expired:?}");
    assert_eq!(families(&deployment).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_the_user_ended_stays_ended_while_a_refresh_extends_it() -> anyhow::Result<()> {
    let mut plan = stage::plan(&json!({}))?;
    plan.settings["session_lifetime"] = json!("720h");
    let (deployment, client, login) = start(plan).await?;
    let token = client.redeem(0, &login.code).await?.refresh_token()?;
    // Due for an extension.
    deployment.advance(2 * DAY);
    deployment.store().hold(true);
    let refreshing = tokio::spawn({
        let (client, token) = (client.clone(), token.clone());
        async move { client.refresh(0, &token).await }
    });
    deployment.store().wait_for_held(1).await;
    deployment.store().hold(false);
    let ended = deployment.end(&login.session).await?;
    assert_eq!(ended.status, 204);
    let raced = refreshing.await??;
    assert!(matches!(raced.status, 200 | 400), "{raced:?}");
    // Whichever came first, nothing is left of the login.
    let after = client
        .refresh(0, raced.refresh_token().as_deref().unwrap_or(&token))
        .await?;
    assert_eq!(after.error(), (400, "invalid_grant"), "{after:?}");
    assert_eq!(deployment.status(&login.session).await?.status, 404);
    tokio::time::timeout(Duration::from_secs(20), async {
        while families(&deployment).await? > 0 {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    })
    .await??;
    Ok(())
}
