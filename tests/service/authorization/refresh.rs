//! Refresh tokens: each refresh gives the next one, and clients that share one lose no login.

use serde_json::json;

use super::client::{Client, Login, assert_well_formed, claims, log_in};
use super::stage::{self, RESOURCES};
use crate::deployment::{ADMIN, Deployment, Plan, at_once};

/// A deployment of `replicas` with a login of its own.
pub(super) async fn logged_in(replicas: usize) -> anyhow::Result<(Deployment, Client, Login)> {
    start(Plan {
        replicas,
        ..stage::plan(&json!({}))?
    })
    .await
}

/// A deployment with a login of its own.
pub(super) async fn start(plan: Plan) -> anyhow::Result<(Deployment, Client, Login)> {
    let deployment = Deployment::start(plan).await?;
    let login = log_in(&deployment, &deployment.service(0).service(), ADMIN).await?;
    let client = Client::of(&deployment);
    Ok((deployment, client, login))
}

/// How many families of refresh tokens the store holds.
pub(super) async fn families(deployment: &Deployment) -> anyhow::Result<usize> {
    use tokenward_control::store::Store as _;
    let (mut count, mut after) = (0, None);
    loop {
        let page = deployment
            .store()
            .list("login_family", after.as_ref(), 1000)
            .await?;
        count += page.keys.len();
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}

#[tokio::test]
async fn a_code_gives_tokens_and_each_refresh_the_next_ones_without_a_call_upstream() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let first = client.redeem(0, &login.code).await?;
    assert_eq!(first.status, 200, "{first:?}");
    assert_well_formed(&first);
    assert_eq!(first.text("token_type"), "Bearer");
    assert_eq!(first.text("scope"), "mcp offline_access");
    // An hour, less what a gateway's clock may be ahead.
    assert_eq!(first.body["expires_in"], json!(3480));
    let payload = claims(first.text("access_token"))?;
    assert_eq!(payload["aud"], json!([RESOURCES[0]]));
    assert_eq!(payload["sid"], json!(login.session));
    assert_eq!(payload["iss"], json!(stage::ISSUER));

    let mut seen = vec![first.refresh_token()?];
    for round in 0..5 {
        deployment.advance(3000);
        let next = client.refresh(0, &seen[round]).await?;
        assert_well_formed(&next);
        let token = next.refresh_token()?;
        assert!(!seen.contains(&token), "a refresh token was given twice");
        assert_ne!(next.text("access_token"), first.text("access_token"));
        seen.push(token);
    }
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    assert_eq!(families(&deployment).await?, 1);
    Ok(())
}

async fn share_one_token(plan: Plan, rounds: usize) -> anyhow::Result<()> {
    const CALLERS: usize = 20;
    let (deployment, client, login) = start(plan).await?;
    let mut token = client.redeem(0, &login.code).await?.refresh_token()?;
    for round in 0..rounds {
        let replicas = deployment.urls.len();
        let calls = (0..CALLERS).map(|caller| client.refresh((round + caller) % replicas, &token));
        let replies = at_once(calls)
            .await
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        let next = replies[0].refresh_token()?;
        for reply in &replies {
            assert_eq!(reply.body, replies[0].body, "round {round}");
        }
        assert_ne!(next, token);
        token = next;
    }
    assert_eq!(families(&deployment).await?, 1);
    assert_eq!(deployment.status(&login.session).await?.status, 200);
    assert_eq!(deployment.dex.counts().refreshes_presented, 0);
    Ok(())
}

#[tokio::test]
async fn twenty_programs_that_share_a_refresh_token_get_one_answer_in_each_of_200_rounds()
-> anyhow::Result<()> {
    let plan = Plan {
        replicas: 3,
        ..stage::plan(&json!({}))?
    };
    share_one_token(plan, 200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_programs_share_a_refresh_token_on_replicas_with_a_valkey() -> anyhow::Result<()> {
    let plan = Plan {
        replicas: 3,
        valkey: true,
        ..stage::plan(&json!({}))?
    };
    share_one_token(plan, 200).await
}

#[tokio::test]
async fn within_the_window_the_token_before_the_newest_gets_the_same_answer_from_any_replica()
-> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(2).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let first = client.refresh(0, &zero).await?;
    assert_eq!(first.body["expires_in"], json!(3480), "{first:?}");
    deployment.advance(59);
    let again = client.refresh(1, &zero).await?;
    let mut expected = first.body.clone();
    // It counts down to the same moment.
    expected["expires_in"] = json!(3480 - 59);
    assert_eq!(again.body, expected);
    let metrics = deployment.service(1).service().metrics().exposition();
    let sample = r#"tokenward_authorization_requests_total{endpoint="token",outcome="replayed"} 1"#;
    assert!(metrics.contains(sample), "{metrics}");
    // The newest one still works.
    client
        .refresh(1, &first.refresh_token()?)
        .await?
        .refresh_token()?;
    Ok(())
}

/// Presents `stale` and asserts that it ends the login, once and with one count.
async fn ends_the_login(
    deployment: &Deployment,
    client: &Client,
    login: &Login,
    stale: &str,
    newest: &str,
) -> anyhow::Result<()> {
    let reuse = client.refresh(0, stale).await?;
    assert_eq!(reuse.error(), (400, "invalid_grant"), "{reuse:?}");
    assert_well_formed(&reuse);
    let newest = client.refresh(0, newest).await?;
    assert_eq!(newest.error(), (400, "invalid_grant"), "{newest:?}");
    assert_eq!(deployment.status(&login.session).await?.status, 404);
    assert_eq!(families(deployment).await?, 0);
    let metrics = deployment.service(0).service().metrics().exposition();
    let sample = r#"tokenward_authorization_requests_total{endpoint="token",outcome="reuse"} 1"#;
    assert!(metrics.contains(sample), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn after_the_window_a_used_token_ends_the_login() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let one = client.refresh(0, &zero).await?.refresh_token()?;
    deployment.advance(61);
    ends_the_login(&deployment, &client, &login, &zero, &one).await
}

#[tokio::test]
async fn once_the_next_token_was_used_an_older_one_ends_the_login_at_once() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let one = client.refresh(0, &zero).await?.refresh_token()?;
    deployment.advance(61);
    let two = client.refresh(0, &one).await?.refresh_token()?;
    ends_the_login(&deployment, &client, &login, &zero, &two).await
}

// A process that gets a 401 reads the refresh token that another one has just stored, and refreshes that, while a third has not
// yet sent the one before.
#[tokio::test]
async fn processes_that_each_refresh_what_is_stored_at_the_moment_lose_no_login() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(2).await?;
    let mut newest = client.redeem(0, &login.code).await?.refresh_token()?;
    for burst in 0..3 {
        let before = newest.clone();
        let one = client.refresh(0, &before).await?.refresh_token()?;
        let two = client.refresh(1, &one).await?.refresh_token()?;
        deployment.advance(30);
        let three = client.refresh(0, &two).await?.refresh_token()?;
        for late in [&before, &one, &two] {
            let reply = client.refresh(1, late).await?;
            assert_eq!(reply.refresh_token()?, three, "burst {burst}");
        }
        // A process that got its answer first stores it last; the next refresh is an hour later, by two processes.
        deployment.advance(3600);
        newest = client.refresh(0, &one).await?.refresh_token()?;
        let again = client.refresh(1, &one).await?.refresh_token()?;
        assert_eq!(again, newest, "burst {burst}");
        deployment.advance(3600);
    }
    assert_eq!(families(&deployment).await?, 1);
    assert_eq!(deployment.status(&login.session).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_burst_ends_a_window_after_its_first_refresh_however_many_follow() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let mut newest = client.refresh(0, &zero).await?.refresh_token()?;
    for _ in 0..3 {
        deployment.advance(19);
        newest = client.refresh(0, &newest).await?.refresh_token()?;
    }
    // 57 s after the first one the token before the burst is answered, and 61 s after it no more.
    newest = client.refresh(0, &zero).await?.refresh_token()?;
    deployment.advance(4);
    ends_the_login(&deployment, &client, &login, &zero, &newest).await
}

#[tokio::test]
async fn without_a_window_a_second_use_ends_the_login() -> anyhow::Result<()> {
    let (deployment, client, login) = start(stage::plan(&json!({"replay_window": "0s"}))?).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let one = client.refresh(0, &zero).await?.refresh_token()?;
    ends_the_login(&deployment, &client, &login, &zero, &one).await
}

/// `token` with its last character changed.
fn damaged(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 3);
    let other = if last.starts_with('A') { "BBA" } else { "AAA" };
    format!("{rest}{other}")
}

#[tokio::test]
async fn a_guess_a_damaged_token_and_another_clients_presentation_change_nothing() -> anyhow::Result<()> {
    let (deployment, client, login) = logged_in(1).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let one = client.refresh(0, &zero).await?.refresh_token()?;
    let two = client.refresh(0, &one).await?.refresh_token()?;
    deployment.store().set_broken(Some("write"));
    // Damaged copies of every generation, the reused one too: what is not proven is no reuse.
    for token in [
        damaged(&zero),
        damaged(&one),
        damaged(&two),
        "twr1.AAAA".to_owned(),
        "x".repeat(2000),
    ] {
        let reply = client.refresh(0, &token).await?;
        assert_eq!(reply.error(), (400, "invalid_grant"), "{token}");
    }
    let mut other = client.clone();
    "https://zed.dev/oauth/client-metadata.json".clone_into(&mut other.id);
    for token in [&zero, &one, &two] {
        let reply = other.refresh(0, token).await?;
        assert_eq!(reply.error(), (400, "invalid_grant"), "{reply:?}");
    }
    assert_eq!(deployment.store().failures(), 0, "something was written");
    deployment.store().set_broken(None);
    client.refresh(0, &two).await?.refresh_token()?;
    assert_eq!(deployment.status(&login.session).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_and_name_its_resource_and_nothing_else() -> anyhow::Result<()> {
    let (_deployment, client, login) = logged_in(1).await?;
    let zero = client.redeem(0, &login.code).await?.refresh_token()?;
    let wider = client.refresh_with(0, &zero, &[("scope", "mcp admin")]).await?;
    assert_eq!(wider.error(), (400, "invalid_scope"), "{wider:?}");
    let elsewhere = client
        .refresh_with(0, &zero, &[("resource", RESOURCES[1])])
        .await?;
    assert_eq!(elsewhere.error(), (400, "invalid_target"), "{elsewhere:?}");
    // Neither used it up.
    let narrowed = client
        .refresh_with(0, &zero, &[("scope", "mcp"), ("resource", RESOURCES[0])])
        .await?;
    assert_eq!(narrowed.text("scope"), "mcp", "{narrowed:?}");
    assert_eq!(claims(narrowed.text("access_token"))?["scope"], json!("mcp"));
    // The login has what it had.
    let one = client.refresh(0, &narrowed.refresh_token()?).await?;
    assert_eq!(one.text("scope"), "mcp offline_access", "{one:?}");
    Ok(())
}
