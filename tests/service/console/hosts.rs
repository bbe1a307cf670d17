//! Which requests are the console's at all.

use reqwest::Method;

use super::stage::Stage;

const PATHS: [&str; 8] = [
    "/",
    "/console/",
    "/console/users",
    "/console/sessions",
    "/console/events",
    "/console/login",
    "/console/callback?code=x&state=y",
    "/console/console.js",
];

#[tokio::test]
async fn a_rebound_name_finds_nothing() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.operator().await?;
    let own_address = stage
        .deployment
        .console(0)
        .trim_start_matches("http://")
        .to_owned();
    for host in ["evil.example", "console.example.com:8443", &own_address] {
        for path in PATHS {
            let page = tab.send(Method::GET, path, None, &[("host", host)]).await?;
            assert_eq!(page.status, 421, "{path} of {host}");
            assert!(!page.body.contains("sre"), "{path} of {host}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_a_login_every_page_leads_to_the_login_and_shows_nothing() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in("handle-of-a-session").await?;
    let operator = stage.operator().await?;
    let users = operator.open("/console/users").await?.links("/console/users/");
    let sessions = operator
        .open("/console/sessions")
        .await?
        .links("/console/sessions/");
    assert_eq!((users.len(), sessions.len()), (1, 1));
    let (user, session) = (&users[0], &sessions[0]);
    let stranger = stage.tab();
    for path in [
        "/console/",
        "/console/users",
        "/console/sessions",
        "/console/events",
        user,
        session,
        &format!("{user}/sign-out"),
        &format!("{session}/sign-out"),
        &format!("{user}/servers/kubernetes"),
        &format!("{session}/servers/kubernetes"),
    ] {
        let page = stranger.open(path).await?;
        assert_eq!(page.status, 401, "{path}");
        assert!(!page.body.contains("admin@example.com"), "{path}");
        assert!(!page.body.contains("name=\"csrf\""), "{path}");
    }
    for path in [
        "/console/search",
        "/console/logout",
        &format!("{user}/sign-out"),
        &format!("{session}/sign-out"),
    ] {
        let form = [("csrf", "x"), ("term", "admin@example.com")];
        let page = stranger.send(Method::POST, path, Some(&form), &[]).await?;
        assert_eq!(page.status, 401, "{path}");
    }
    assert_eq!(stage.deployment.status("handle-of-a-session").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn every_answer_has_the_security_headers() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let (tab, stranger) = (stage.operator().await?, stage.tab());
    for path in [
        "/console/",
        "/console/users",
        "/console/nowhere",
        "/console/login",
    ] {
        for tab in [&tab, &stranger] {
            let page = tab.open(path).await?;
            assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(page.header("x-frame-options"), Some("DENY"), "{path}");
            assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(page.header("referrer-policy"), Some("same-origin"), "{path}");
            let policy = page.header("content-security-policy").unwrap_or_default();
            for part in [
                "default-src 'none'",
                "script-src 'self'",
                "frame-ancestors 'none'",
                "form-action 'self'",
            ] {
                assert!(policy.contains(part), "{part} in {policy}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            assert!(
                !page.body.contains("<style") && !page.body.contains("style="),
                "{path}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_consoles_pages_are_not_on_the_other_listener_and_the_other_way_round() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.operator().await?;
    for path in [
        "/metrics",
        "/readyz",
        "/livez",
        "/oauth2/token",
        "/v1/explain",
        "/openapi.json",
    ] {
        assert_eq!(tab.open(path).await?.status, 404, "{path}");
    }
    let url = format!("{}/console/", stage.deployment.urls[0]);
    let request = stage
        .deployment
        .http
        .get(url)
        .header("host", "console.example.com");
    assert_eq!(request.send().await?.status(), 404);
    Ok(())
}
