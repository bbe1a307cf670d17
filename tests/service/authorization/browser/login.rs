//! A login as it should go.

use serde_json::{Value, json};

use super::super::stage::HOST;
use super::*;

async fn redeem(stage: &Stage, code: &str) -> anyhow::Result<(u16, Value)> {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("client_id", &stage.client_id),
        ("code_verifier", VERIFIER),
        ("resource", RESOURCES[0]),
    ];
    let url = format!("{}/token", stage.deployment.urls[0]);
    let answer = stage
        .deployment
        .http
        .post(url)
        .header("host", HOST)
        .form(&form)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test]
async fn a_user_who_agrees_and_logs_in_is_sent_back_with_a_code() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    assert_eq!(consent.status, 200, "{}", consent.body);
    // Any link can open the page: it stores nothing.
    assert_eq!(stage.stored("login_request").await?, 0);
    assert_eq!(tab.cookie_names(), ["__Host-tokenward-consent"]);

    let onward = tab.decide(&consent, "allow").await?;
    assert_eq!(onward.status, 200, "{}", onward.body);
    assert_eq!(stage.stored("login_request").await?, 1);
    let upstream = onward.onward();
    assert_eq!(onward.link(), upstream);
    assert_eq!(parameter(&upstream, "client_id"), "muster");
    assert_eq!(
        parameter(&upstream, "redirect_uri"),
        format!("{ISSUER}/authorize/callback")
    );
    assert_eq!(
        parameter(&upstream, "scope"),
        "openid profile email groups offline_access"
    );
    assert_eq!(parameter(&upstream, "code_challenge_method"), "S256");
    for random in ["state", "nonce", "code_challenge"] {
        assert_eq!(parameter(&upstream, random).len(), 43, "{random}");
    }
    assert_ne!(parameter(&upstream, "state"), "state of the client");

    let back = tab.log_in(&upstream, ADMIN).await?;
    let done = tab.open(&back).await?;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(done.header("cache-control"), Some("no-store"));
    let location = done.location();
    assert!(location.starts_with(&format!("{REDIRECT}?")), "{location}");
    assert_eq!(parameter(location, "state"), "state of the client");
    assert_eq!(parameter(location, "iss"), ISSUER);
    assert_eq!(stage.stored("login_request").await?, 0);
    assert_eq!(tab.cookie_names(), ["__Host-tokenward-consent"]);
    assert_eq!(stage.sessions_created(), 1);

    let (status, tokens) = redeem(&stage, &parameter(location, "code")).await?;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "mcp offline_access");
    let counts = stage.deployment.dex.counts();
    assert_eq!((counts.authorizations, counts.logins), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_user_who_denies_is_sent_back_without_a_login() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    let denied = tab.decide(&consent, "deny").await?;
    let location = denied.onward();
    assert!(location.starts_with(&format!("{REDIRECT}?")), "{location}");
    assert_eq!(parameter(&location, "error"), "access_denied");
    assert_eq!(parameter(&location, "state"), "state of the client");
    assert_eq!(parameter(&location, "iss"), ISSUER);
    assert_eq!(stage.stored("login_request").await?, 0);
    assert_eq!(stage.deployment.dex.counts().authorizations, 0);
    Ok(())
}

#[tokio::test]
async fn two_logins_of_one_browser_do_not_disturb_each_other() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let first = tab
        .agree(&stage.query(&[("state", Some("first"))]), ADMIN)
        .await?;
    let second = tab
        .agree(&stage.query(&[("state", Some("second"))]), ADMIN)
        .await?;
    assert_eq!(tab.cookie_names().len(), 3);
    for (back, state) in [(second, "second"), (first, "first")] {
        let done = tab.open(&back).await?;
        assert_eq!(done.status, 303, "{}", done.body);
        assert_eq!(parameter(done.location(), "state"), state);
    }
    assert_eq!(stage.sessions_created(), 2);
    Ok(())
}

/// The login's own token goes to every forwarding server, so it has the audiences of all of them.
#[tokio::test]
async fn the_audiences_of_all_forwarding_servers_are_requested() -> anyhow::Result<()> {
    let mut plan = plan(&json!({}))?;
    plan.servers.push(json!({
        "name": "kube", "resource": format!("{ISSUER}/kube"),
        "auth": {"forwardToken": true, "requiredAudiences": ["kube", "muster"]},
    }));
    let deployment = Deployment::start(plan).await?;
    let client = json!({"client_name": "x", "redirect_uris": [REDIRECT]});
    let client_id = register(&deployment, &client).await?;
    let stage = Stage {
        deployment,
        client_id,
    };
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    let upstream = tab.decide(&consent, "allow").await?.onward();
    assert_eq!(
        parameter(&upstream, "scope"),
        "openid profile email groups offline_access audience:server:client_id:kube \
         audience:server:client_id:muster"
    );
    Ok(())
}
