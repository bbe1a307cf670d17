//! Forms: only the console's own, of this login, change anything.

use reqwest::Method;

use super::stage::{ORIGIN, Stage};
use crate::deployment::ADMIN;

const HANDLE: &str = "handle-of-a-session";

#[tokio::test]
async fn an_operator_ends_a_session_after_a_confirmation() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    stage.deployment.log_in("s-other").await?;
    let tab = stage.operator().await?;
    let page = tab.open("/console/sessions").await?;
    let [first, second] = &page.links("/console/sessions/")[..] else {
        panic!("two sessions: {}", page.body)
    };
    let found = tab.submit(&page, "/console/search", &[("term", HANDLE)]).await?;
    let session = found.location().to_owned();
    assert!([first, second].contains(&&session), "{session}");

    let confirm = tab.open(&format!("{session}/sign-out")).await?;
    assert!(confirm.body.contains(ADMIN), "{}", confirm.body);
    assert_eq!(stage.deployment.status(HANDLE).await?.status, 200, "not yet");
    let done = tab.submit(&confirm, &format!("{session}/sign-out"), &[]).await?;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(stage.deployment.status(HANDLE).await?.status, 404);
    assert_eq!(stage.deployment.status("s-other").await?.status, 200);

    let again = tab.submit(&confirm, &format!("{session}/sign-out"), &[]).await?;
    assert_eq!(again.status, 404, "{}", again.body);
    Ok(())
}

#[tokio::test]
async fn an_operator_signs_a_user_out_everywhere() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    for session in ["one", "two", "three"] {
        stage.deployment.log_in(session).await?;
    }
    let tab = stage.operator().await?;
    let user = tab.open("/console/users").await?.links("/console/users/")[0].clone();
    let confirm = tab.open(&format!("{user}/sign-out")).await?;
    assert!(confirm.body.contains("(3 known"), "{}", confirm.body);
    let done = tab.submit(&confirm, &format!("{user}/sign-out"), &[]).await?;
    assert!(done.body.contains("3 sessions have ended"), "{}", done.body);
    for session in ["one", "two", "three"] {
        assert_eq!(stage.deployment.status(session).await?.status, 404);
    }
    let page = tab.open(&user).await?;
    assert!(page.body.contains("signed out"), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn a_form_of_another_site_or_login_changes_nothing() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    let (tab, other) = (stage.operator().await?, stage.operator().await?);
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    let path = format!("{session}/sign-out");
    let csrf = tab.open(&path).await?.csrf();
    let of_another = other.open(&path).await?.csrf();
    assert_ne!(csrf, of_another);
    let own = [("origin", ORIGIN), ("sec-fetch-site", "same-origin")];
    let refused: [(&str, &[(&str, &str)]); 7] = [
        (&of_another, &own),
        ("", &own),
        (&csrf, &[]),
        (&csrf, &[("origin", "null")]),
        (&csrf, &[("origin", "https://evil.example")]),
        (&csrf, &[("origin", "http://console.example.com")]),
        (&csrf, &[("origin", ORIGIN), ("sec-fetch-site", "cross-site")]),
    ];
    for (token, headers) in refused {
        for action in [path.as_str(), "/console/logout", "/console/search"] {
            let form = [("csrf", token), ("term", "x")];
            let page = tab.send(Method::POST, action, Some(&form), headers).await?;
            assert_eq!(page.status, 403, "{action} {headers:?}");
            assert!(page.body.contains("Nothing was changed"), "{}", page.body);
        }
    }
    let twice = [("csrf", csrf.as_str()), ("csrf", csrf.as_str())];
    assert_eq!(
        tab.send(Method::POST, &path, Some(&twice), &own).await?.status,
        403
    );
    let by_link = tab.open(&format!("{path}?csrf={csrf}")).await?;
    assert!(
        by_link.body.contains("id=\"confirm\""),
        "GET only shows the question"
    );
    assert_eq!(stage.deployment.status(HANDLE).await?.status, 200);
    assert_eq!(tab.open("/console/").await?.status, 200);
    Ok(())
}
