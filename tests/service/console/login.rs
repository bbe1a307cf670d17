//! Who gets in, and for how long.

use serde_json::json;

use super::stage::{OPERATOR, ORIGIN, Stage};
use crate::deployment::{ADMIN, Plan};

const SESSION: &str = "__Host-tokenward-console";

/// The parameters of an address.
fn parameter(location: &str, name: &str) -> String {
    let url = url::Url::parse(location).expect("a URL");
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(own, _)| own == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[tokio::test]
async fn an_operator_logs_in_at_the_issuer_and_comes_to_the_page_that_was_wanted() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.tab();
    let closed = tab.open("/console/sessions").await?;
    assert_eq!(closed.status, 401);
    let login = closed.value_after("id=\"login\" href=\"");
    assert_eq!(login, "/console/login?to=%2Fconsole%2Fsessions");

    let begun = tab.open(&login).await?;
    assert_eq!(begun.status, 303);
    let location = begun.location().to_owned();
    assert_eq!(parameter(&location, "client_id"), "tokenward-console");
    assert_eq!(
        parameter(&location, "redirect_uri"),
        format!("{ORIGIN}/console/callback")
    );
    assert_eq!(parameter(&location, "scope"), "openid profile email groups");
    assert_eq!(parameter(&location, "code_challenge_method"), "S256");
    for random in ["state", "nonce", "code_challenge"] {
        assert_eq!(parameter(&location, random).len(), 43, "{random}");
    }

    let page = tab.log_in(OPERATOR, "/console/sessions").await?;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("<h1 id=\"sessions\">Sessions</h1>"),
        "{}",
        page.body
    );
    // The login that was begun first is still under way in its own cookie.
    assert_eq!(tab.cookie_names().len(), 2);
    assert!(tab.cookie_names().contains(&SESSION.to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_user_who_is_in_none_of_the_groups_gets_nothing() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.tab();
    let refused = tab.log_in(ADMIN, "/console/").await?;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("console.groups"), "{}", refused.body);
    assert_eq!(tab.cookie_names(), [] as [&str; 0]);
    assert_eq!(tab.open("/console/").await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn a_login_lasts_as_long_as_configured() -> anyhow::Result<()> {
    let stage = Stage::start_with(Plan::default(), json!({"session_lifetime": "10m"})).await?;
    let tab = stage.operator().await?;
    stage.deployment.advance(599);
    assert_eq!(tab.open("/console/").await?.status, 200);
    stage.deployment.advance(2);
    assert_eq!(tab.open("/console/").await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn a_login_is_finished_once_by_the_browser_that_began_it() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let (tab, other) = (stage.tab(), stage.tab());
    let back = tab.come_back(OPERATOR, "/console/").await?;
    let elsewhere = other.open(&back).await?;
    assert_eq!(elsewhere.status, 400);
    assert!(elsewhere.body.contains("· unknown_login"), "{}", elsewhere.body);

    assert_eq!(tab.open(&back).await?.status, 303);
    let again = tab.open(&back).await?;
    assert_eq!(again.status, 400, "{}", again.body);
    assert_eq!(tab.open("/console/").await?.status, 200);
    assert_eq!(stage.deployment.dex.counts().logins, 1);
    Ok(())
}

#[tokio::test]
async fn another_state_and_a_late_return_are_refused() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.tab();
    let back = tab.come_back(OPERATOR, "/console/").await?;
    let forged = tab.open("/console/callback?code=stolen&state=forged").await?;
    assert_eq!(forged.status, 400);
    stage.deployment.advance(601);
    let late = tab.open(&back).await?;
    assert_eq!(late.status, 400, "{}", late.body);
    assert_eq!(stage.deployment.dex.counts().logins, 0);
    Ok(())
}

#[tokio::test]
async fn a_denied_login_states_whose_fault_it_is() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.tab();
    let begun = tab.open("/console/login").await?;
    let state = parameter(begun.location(), "state");
    let denied = tab
        .open(&format!("/console/callback?error=access_denied&state={state}"))
        .await?;
    assert_eq!(denied.status, 403);
    assert!(denied.body.contains("· denied"), "{}", denied.body);
    assert!(denied.body.contains("access_denied"), "{}", denied.body);
    Ok(())
}

#[tokio::test]
async fn signing_out_of_the_console_ends_a_copied_cookie_on_every_replica() -> anyhow::Result<()> {
    let plan = Plan {
        replicas: 2,
        ..Plan::default()
    };
    let stage = Stage::start_with(plan, json!({})).await?;
    let tab = stage.operator().await?;
    let thief = stage.tab();
    thief.copy_cookies(&tab);
    thief.at_replica(1);
    let page = thief.open("/console/").await?;
    assert_eq!(page.status, 200, "every replica opens the cookie");

    let done = tab.submit(&page, "/console/logout", &[]).await?;
    assert_eq!((done.status, done.location()), (303, "/console/"));
    assert_eq!(tab.cookie_names(), [] as [&str; 0]);
    assert_eq!(thief.open("/console/").await?.status, 401);
    Ok(())
}

#[tokio::test]
async fn one_address_begins_a_bounded_number_of_logins() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.tab();
    let mut statuses = Vec::new();
    for _ in 0..22 {
        statuses.push(tab.open("/console/login").await?.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 20);
    assert_eq!(statuses.last(), Some(&429));
    stage.deployment.advance(4);
    assert_eq!(tab.open("/console/login").await?.status, 303);
    Ok(())
}

#[tokio::test]
async fn a_login_leads_to_no_other_site() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    for to in ["https://evil.example/", "//evil.example", "/console/\\evil"] {
        let tab = stage.tab();
        let back = tab.come_back(OPERATOR, to).await?;
        assert_eq!(tab.open(&back).await?.location(), "/console/", "{to}");
    }
    Ok(())
}
