//! Attacks on a login: each is refused, and what it would have needed is counted.

use serde_json::json;
use tokenward_harness::browser::ShownPage;

use super::*;

const MALLORY: &str = "mallory@example.com";

async fn stage() -> anyhow::Result<Stage> {
    Stage::start(&json!({})).await
}

#[tokio::test]
async fn no_other_address_gets_the_answer() -> anyhow::Result<()> {
    let stage = Stage::with_client(
        &json!({}),
        &json!({"client_name": "x", "redirect_uris": [REDIRECT, "http://127.0.0.1/cb"]}),
    )
    .await?;
    let tab = stage.tab()?;
    let refused = [
        "https://evil.example/callback",
        "https://client.example.evil.example/callback",
        "https://client.example@evil.example/callback",
        "https://client.example:8443/callback",
        "https://client.example/callback/",
        "https://client.example/callback/../evil",
        "https://client.example/callback?x=y",
        "https://client.example/callback#x",
        "https://CLIENT.example/callback",
        "https://client.example\\@evil.example/callback",
        "http://client.example/callback",
        "//client.example/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://127.0.0.1/other",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://127.1/cb",
        "http://2130706433/cb",
        "http://localhost/cb",
        "http://127.0.0.1:99999/cb",
        " https://client.example/callback",
    ];
    for redirect_uri in refused {
        let page = tab
            .authorize(&stage.query(&[("redirect_uri", Some(redirect_uri))]))
            .await?;
        assert_problem(&page, 400, "unknown_redirect_uri");
    }
    let accepted = ["http://127.0.0.1:51234/cb", "http://127.0.0.1/cb", REDIRECT];
    for redirect_uri in accepted {
        let page = tab
            .authorize(&stage.query(&[("redirect_uri", Some(redirect_uri))]))
            .await?;
        assert_eq!(page.status, 200, "{redirect_uri}: {}", page.body);
    }
    Ok(())
}

#[tokio::test]
async fn a_consent_form_is_good_in_its_own_browser_only() -> anyhow::Result<()> {
    let stage = stage().await?;
    let (victim, mallory) = (stage.tab()?, stage.tab()?);
    let own = victim.authorize(&stage.query(&[])).await?;
    let foreign = mallory.authorize(&stage.query(&[])).await?;
    let form = |page: &ShownPage| [("request", page.request()), ("decision", "allow".to_owned())];
    let path = "/authorize/consent";
    let same = [("sec-fetch-site", "same-origin"), ("origin", ISSUER)];

    // A page of Mallory's posts his own request with the victim's cookie.
    let page = victim
        .send(Method::POST, path, Some(&form(&foreign)), &same)
        .await?;
    assert_problem(&page, 403, "other_browser");
    // The victim's form without the victim's cookie.
    let nowhere = stage.tab()?;
    let page = nowhere.send(Method::POST, path, Some(&form(&own)), &same).await?;
    assert_problem(&page, 403, "other_browser");
    // From another site, with all that the browser has.
    let sites = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "https://mcp.example.com.evil.example"),
        ("origin", "http://mcp.example.com"),
    ];
    for header in sites {
        let page = victim
            .send(Method::POST, path, Some(&form(&own)), &[header])
            .await?;
        assert_problem(&page, 403, "other_browser");
    }
    // Changed, cut, empty, of another purpose.
    let sealed = own.request();
    let bad = [
        flipped(&sealed),
        sealed[..sealed.len() / 2].to_owned(),
        "AAAA".to_owned(),
        stage.client_id.clone(),
        "x".repeat(39_000),
    ];
    for request in bad {
        let form = [("request", request), ("decision", "allow".to_owned())];
        let page = victim.send(Method::POST, path, Some(&form), &same).await?;
        assert_problem(&page, 403, "other_browser");
    }
    assert_eq!(stage.stored("login_request").await?, 0);
    assert_eq!(victim.decide(&own, "allow").await?.status, 200);
    assert_eq!(stage.stored("login_request").await?, 1);
    Ok(())
}

/// The same with another character in the middle.
fn flipped(sealed: &str) -> String {
    let (before, after) = sealed.split_at(sealed.len() / 2);
    let other = if after.starts_with('A') { 'B' } else { 'A' };
    format!("{before}{other}{}", &after[1..])
}

#[tokio::test]
async fn a_consent_page_is_good_for_ten_minutes() -> anyhow::Result<()> {
    let stage = stage().await?;
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    stage.deployment.advance(599);
    assert_eq!(tab.decide(&consent, "allow").await?.status, 200);
    stage.deployment.advance(2);
    let page = tab.decide(&consent, "allow").await?;
    assert_problem(&page, 400, "unknown_login");
    Ok(())
}

#[tokio::test]
async fn a_login_ends_in_the_browser_in_which_its_user_agreed() -> anyhow::Result<()> {
    let stage = stage().await?;
    let (victim, mallory) = (stage.tab()?, stage.tab()?);
    let back = mallory.agree(&stage.query(&[]), ADMIN).await?;
    // Mallory's link, opened by the victim: without a cookie, and with that of a login of the victim's own.
    assert_problem(&victim.open(&back).await?, 403, "other_browser");
    victim.agree(&stage.query(&[]), ADMIN).await?;
    assert_problem(&victim.open(&back).await?, 403, "other_browser");
    assert_eq!(stage.sessions_created(), 0);
    // Nothing was used up.
    assert_eq!(mallory.open(&back).await?.status, 303);
    assert_eq!(stage.sessions_created(), 1);
    Ok(())
}

#[tokio::test]
async fn the_cookie_of_another_login_does_not_finish_this_one() -> anyhow::Result<()> {
    let stage = stage().await?;
    let (victim, mallory) = (stage.tab()?, stage.tab()?);
    let back = victim.agree(&stage.query(&[]), ADMIN).await?;
    mallory.agree(&stage.query(&[]), ADMIN).await?;
    victim.steal_value("__Host-tokenward-login-", &mallory);
    assert_problem(&victim.open(&back).await?, 403, "other_browser");
    assert_eq!(stage.sessions_created(), 0);
    Ok(())
}

#[tokio::test]
async fn a_state_is_good_once() -> anyhow::Result<()> {
    let stage = stage().await?;
    let tab = stage.tab()?;
    let back = tab.agree(&stage.query(&[]), ADMIN).await?;
    let cookies = tab.cookie_header();
    assert_eq!(tab.open(&back).await?.status, 303);
    let again = tab
        .send(Method::GET, &back, None, &[("cookie", cookies.as_str())])
        .await?;
    assert_problem(&again, 400, "unknown_login");
    assert_eq!(stage.deployment.dex.counts().logins, 1);
    assert_eq!(stage.sessions_created(), 1);
    // One that was never given out, and one that is too old.
    assert_problem(
        &tab.open("/authorize/callback?code=x&state=made-up").await?,
        400,
        "unknown_login",
    );
    let old = tab.agree(&stage.query(&[]), ADMIN).await?;
    stage.deployment.advance(601);
    assert_problem(&tab.open(&old).await?, 400, "unknown_login");
    assert_eq!(stage.sessions_created(), 1);
    Ok(())
}

/// The victim's browser is made to bring Mallory's code: without PKCE and nonce the victim would be logged in as Mallory.
#[tokio::test]
async fn a_code_of_another_login_is_not_accepted() -> anyhow::Result<()> {
    let mut plan = plan(&json!({}))?;
    for client in &mut plan.dex.clients {
        client.redirect_uris.push(format!("{ISSUER}/authorize/callback"));
    }
    plan.dex = plan.dex.user(tokenward_harness::issuer::DexUser::new(MALLORY));
    let deployment = Deployment::start(plan).await?;
    let client = json!({"client_name": "Inspector", "redirect_uris": [REDIRECT]});
    let client_id = register(&deployment, &client).await?;
    let stage = Stage {
        deployment,
        client_id,
    };
    let (victim, mallory) = (stage.tab()?, stage.tab()?);
    let of_mallory = mallory.agree(&stage.query(&[]), MALLORY).await?;
    let of_victim = victim.agree(&stage.query(&[]), ADMIN).await?;
    let code = parameter(&format!("{ISSUER}{of_mallory}"), "code");
    let state = parameter(&format!("{ISSUER}{of_victim}"), "state");
    let injected = format!(
        "/authorize/callback?{}",
        encoded(&[("code", &code), ("state", &state)])
    );
    let page = victim.open(&injected).await?;
    assert_problem(&page, 400, "upstream_code_rejected");
    assert_eq!(parameter(&page.link(), "error"), "access_denied");
    assert_eq!(stage.sessions_created(), 0);
    assert_eq!(stage.deployment.dex.counts().logins, 0);
    Ok(())
}

/// RFC 9207: the response of another issuer ends before its code is presented anywhere.
#[tokio::test]
async fn a_response_of_another_issuer_is_not_accepted() -> anyhow::Result<()> {
    let stage = stage().await?;
    let tab = stage.tab()?;
    let back = tab.agree(&stage.query(&[]), ADMIN).await?;
    let evil = format!("{back}&{}", encoded(&[("iss", "https://evil.example")]));
    assert_problem(&tab.open(&evil).await?, 400, "mix_up");
    assert_eq!(stage.deployment.dex.counts().logins, 0);
    let right = format!("{back}&{}", encoded(&[("iss", stage.deployment.dex.issuer())]));
    assert_eq!(tab.open(&right).await?.status, 303);
    for parameter in ["code", "state", "iss", "error"] {
        let back = tab.agree(&stage.query(&[]), ADMIN).await?;
        let twice = format!("{back}&{parameter}=a&{parameter}=b");
        assert_problem(&tab.open(&twice).await?, 400, "bad_request");
    }
    assert_eq!(stage.deployment.dex.counts().logins, 1);
    Ok(())
}

#[tokio::test]
async fn an_issuer_that_always_names_itself_is_not_believed_without() -> anyhow::Result<()> {
    let mut plan = plan(&json!({}))?;
    for client in &mut plan.dex.clients {
        client.redirect_uris.push(format!("{ISSUER}/authorize/callback"));
    }
    plan.dex = plan
        .dex
        .discovery("authorization_response_iss_parameter_supported", json!(true));
    let deployment = Deployment::start(plan).await?;
    let client = json!({"client_name": "Inspector", "redirect_uris": [REDIRECT]});
    let client_id = register(&deployment, &client).await?;
    let stage = Stage {
        deployment,
        client_id,
    };
    let tab = stage.tab()?;
    let back = tab.agree(&stage.query(&[]), ADMIN).await?;
    assert_problem(&tab.open(&back).await?, 400, "mix_up");
    assert_eq!(stage.deployment.dex.counts().logins, 0);
    Ok(())
}

/// A redirect URI may have a query of its own, in which a client must not find an answer that is not ours.
#[tokio::test]
async fn what_a_redirect_uri_brings_along_does_not_pass_for_our_answer() -> anyhow::Result<()> {
    let redirect_uri = "https://client.example/cb?keep=1%2B1&iss=https%3A%2F%2Fevil.example&%73tate=s&code=c&ISS=x&error=e&z";
    let client = json!({"client_name": "x", "redirect_uris": [redirect_uri]});
    let stage = Stage::with_client(&json!({}), &client).await?;
    let tab = stage.tab()?;
    let query = stage.query(&[("redirect_uri", Some(redirect_uri))]);
    let back = tab.agree(&query, ADMIN).await?;
    let done = tab.open(&back).await?;
    let location = done.location();
    assert!(
        location.starts_with("https://client.example/cb?keep=1%2B1&z&code="),
        "{location}"
    );
    assert_eq!(parameter(location, "iss"), ISSUER);
    assert_eq!(parameter(location, "state"), "state of the client");
    assert_ne!(parameter(location, "code"), "c");
    let names: Vec<String> = parameters(location).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["keep", "z", "code", "state", "iss"]);
    Ok(())
}

#[tokio::test]
async fn one_source_cannot_open_pages_without_end() -> anyhow::Result<()> {
    let stage = stage().await?;
    let tab = stage.tab()?;
    let mut limited = 0;
    for _ in 0..70 {
        let page = tab.authorize(&stage.query(&[])).await?;
        if page.status == 429 {
            assert_problem(&page, 429, "too_many");
            assert_eq!(page.header("retry-after"), Some("1"));
            limited += 1;
        }
    }
    assert_eq!(limited, 10);
    stage.deployment.advance(1);
    assert_eq!(tab.authorize(&stage.query(&[])).await?.status, 200);
    Ok(())
}
