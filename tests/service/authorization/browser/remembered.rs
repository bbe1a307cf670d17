//! Remembered consents: when the page is left out, and that nothing else leaves it out.

use serde_json::json;
use tokenward_harness::browser::ShownPage;
use tokenward_harness::issuer::DexUser;

use super::*;

const CLIENT: &str = "https://claude.ai/oauth/mcp-oauth-client-metadata";
const CALLBACK: &str = "https://claude.ai/api/mcp/auth_callback";
const OTHER_USER: &str = "other@example.com";
const COOKIE: &str = "__Host-tokenward-remembered";

/// A deployment that knows this client from a pinned document, with these clients whose consent is remembered.
async fn stage(remembered: &[&str], redirect_uris: &[&str]) -> anyhow::Result<Stage> {
    let document = json!({
        "client_id": CLIENT, "client_name": "Claude", "redirect_uris": redirect_uris,
        "token_endpoint_auth_method": "none",
    });
    let mut plan = plan(&json!({
        "clients": {"metadata_documents": {"hosts": "pinned", "pinned": [{"client_id": CLIENT, "file": "@document"}]}},
        "remembered_consent": {"clients": remembered, "lifetime": "48h"},
    }))?;
    plan.files
        .push(("document".to_owned(), document.to_string().into_bytes()));
    for client in &mut plan.dex.clients {
        client.redirect_uris.push(format!("{ISSUER}/authorize/callback"));
    }
    plan.dex = plan.dex.user(DexUser::new(OTHER_USER));
    Ok(Stage {
        deployment: Deployment::start(plan).await?,
        client_id: CLIENT.to_owned(),
    })
}

/// A whole login with the box on the consent page ticked.
async fn log_in_and_remember(tab: &Tab<'_>, query: &str) -> anyhow::Result<ShownPage> {
    let consent = tab.authorize(query).await?;
    let form = [
        ("request", consent.request()),
        ("decision", "allow".to_owned()),
        ("remember", "yes".to_owned()),
    ];
    let onward = tab
        .send(Method::POST, "/authorize/consent", Some(&form), &[])
        .await?;
    let back = tab.log_in(&onward.onward(), ADMIN).await?;
    tab.open(&back).await
}

/// Opens the request as a user does who typed the address, or whose program opened it.
async fn open_from(tab: &Tab<'_>, query: &str, site: Option<&str>) -> anyhow::Result<ShownPage> {
    let headers: Vec<(&str, &str)> = site.map(|site| ("sec-fetch-site", site)).into_iter().collect();
    tab.send(Method::GET, &format!("/authorize?{query}"), None, &headers)
        .await
}

#[tokio::test]
async fn a_remembered_consent_answers_the_same_request_in_the_same_browser() -> anyhow::Result<()> {
    let stage = stage(&[CLIENT], &[CALLBACK, "https://claude.ai/other"]).await?;
    let tab = stage.tab()?;
    let query = stage.query(&[("redirect_uri", Some(CALLBACK))]);
    let page = tab.authorize(&query).await?;
    assert!(
        page.body.contains("Do not ask again in this browser for 2 days"),
        "{}",
        page.body
    );
    assert!(
        page.body
            .contains("published by <bdi class=\"host\">claude.ai</bdi>"),
        "{}",
        page.body
    );
    // A user who does not tick the box is asked again.
    let back = tab.agree(&query, ADMIN).await?;
    assert_eq!(tab.open(&back).await?.status, 303);
    assert_eq!(open_from(&tab, &query, Some("none")).await?.status, 200);

    let done = log_in_and_remember(&tab, &query).await?;
    assert_eq!(done.status, 303);
    let cookie = done.set_cookie(COOKIE).expect("a cookie");
    assert!(cookie.contains("; Max-Age=172800;"), "{cookie}");
    assert_eq!(stage.stored("login_consent").await?, 1);

    let skipped = open_from(&tab, &query, Some("none")).await?;
    assert_eq!(skipped.status, 302, "{}", skipped.body);
    let back = tab.log_in(skipped.location(), ADMIN).await?;
    let done = tab.open(&back).await?;
    assert_eq!(done.status, 303, "{}", done.body);
    assert!(done.location().starts_with(&format!("{CALLBACK}?")));

    // Everything else asks.
    let other_resource = stage.query(&[("redirect_uri", Some(CALLBACK)), ("resource", Some(RESOURCES[1]))]);
    let other_redirect = stage.query(&[("redirect_uri", Some("https://claude.ai/other"))]);
    let cases = [
        (&query, Some("cross-site")),
        (&query, Some("same-site")),
        (&query, None),
        (&query, Some("made-up")),
        (&other_resource, Some("none")),
        (&other_redirect, Some("none")),
    ];
    for (query, site) in cases {
        let page = open_from(&tab, query, site).await?;
        assert_eq!(page.status, 200, "{query} {site:?}");
    }
    let other_browser = stage.tab()?;
    assert_eq!(open_from(&other_browser, &query, Some("none")).await?.status, 200);
    stage.deployment.advance(48 * 3600 + 1);
    assert_eq!(open_from(&tab, &query, Some("none")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_consent_to_less_does_not_answer_for_more() -> anyhow::Result<()> {
    let stage = stage(&[CLIENT], &[CALLBACK]).await?;
    let tab = stage.tab()?;
    let less = stage.query(&[("redirect_uri", Some(CALLBACK)), ("scope", Some("mcp"))]);
    assert_eq!(log_in_and_remember(&tab, &less).await?.status, 303);
    assert_eq!(open_from(&tab, &less, Some("none")).await?.status, 302);
    let more = stage.query(&[("redirect_uri", Some(CALLBACK))]);
    assert_eq!(open_from(&tab, &more, Some("none")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_consent_is_the_users_who_gave_it() -> anyhow::Result<()> {
    let stage = stage(&[CLIENT], &[CALLBACK]).await?;
    let tab = stage.tab()?;
    let query = stage.query(&[("redirect_uri", Some(CALLBACK))]);
    assert_eq!(log_in_and_remember(&tab, &query).await?.status, 303);
    let skipped = open_from(&tab, &query, Some("none")).await?;
    let back = tab.log_in(skipped.location(), OTHER_USER).await?;
    assert_problem(&tab.open(&back).await?, 403, "consent_of_another");
    assert_eq!(stage.sessions_created(), 1);
    // The other user is asked next time.
    assert_eq!(stage.stored("login_consent").await?, 0);
    assert_eq!(open_from(&tab, &query, Some("none")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_not_listed_or_leads_to_this_computer_is_never_remembered() -> anyhow::Result<()> {
    let loopback = "http://localhost/callback";
    for (remembered, redirect_uri) in [(vec![], CALLBACK), (vec![CLIENT], loopback)] {
        let stage = stage(&remembered, &[redirect_uri]).await?;
        let tab = stage.tab()?;
        let query = stage.query(&[("redirect_uri", Some(redirect_uri))]);
        let page = tab.authorize(&query).await?;
        assert!(!page.body.contains("Do not ask again"), "{}", page.body);
        let done = log_in_and_remember(&tab, &query).await?;
        assert_eq!(done.status, 303, "{}", done.body);
        assert_eq!(done.set_cookie(COOKIE), None);
        assert_eq!(stage.stored("login_consent").await?, 0);
        assert_eq!(open_from(&tab, &query, Some("none")).await?.status, 200);
    }
    Ok(())
}

/// A login that failed has shown nothing about its user.
#[tokio::test]
async fn a_consent_is_remembered_only_after_its_login_succeeded() -> anyhow::Result<()> {
    let stage = stage(&[CLIENT], &[CALLBACK]).await?;
    let tab = stage.tab()?;
    let query = stage.query(&[("redirect_uri", Some(CALLBACK))]);
    let (endpoint, failure) = (
        tokenward_harness::issuer::Endpoint::Login,
        tokenward_harness::issuer::Failure::DropRefreshToken,
    );
    stage.deployment.dex.fail_next(endpoint, 1, &failure);
    let page = log_in_and_remember(&tab, &query).await?;
    assert_problem(&page, 502, "no_refresh_token");
    assert_eq!(stage.stored("login_consent").await?, 0);
    assert_eq!(open_from(&tab, &query, Some("none")).await?.status, 200);
    Ok(())
}
