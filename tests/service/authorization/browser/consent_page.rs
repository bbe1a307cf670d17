//! What the consent page shows, and that it does nothing else.

use serde_json::json;
use tokenward_harness::browser::ShownPage;

use super::*;

/// The page of a client with this registration.
async fn page_of(client: &Value) -> anyhow::Result<ShownPage> {
    let redirect_uri = client["redirect_uris"][0].as_str().unwrap_or_default().to_owned();
    let stage = Stage::with_client(&json!({}), client).await?;
    let query = stage.query(&[("redirect_uri", Some(&redirect_uri))]);
    stage.tab()?.authorize(&query).await
}

#[tokio::test]
async fn it_names_program_server_destination_and_issuer() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let page = stage.tab()?.authorize(&stage.query(&[])).await?;
    let issuer = stage.deployment.dex.issuer();
    for text in [
        "<html lang=\"en\">",
        "<bdi class=\"name\">Inspector</bdi>",
        "the program registered itself, and no one has checked it",
        "<bdi class=\"host\">https://mcp.example.com/kubernetes</bdi>",
        "<bdi class=\"host\">client.example</bdi>",
        "scope: mcp offline_access",
        "also while you are away",
        issuer,
        "scope: openid profile email groups offline_access",
        "value=\"allow\"",
        "value=\"deny\"",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("Do not ask again"), "{}", page.body);
    assert!(!page.body.contains("on this computer"), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn a_redirect_to_this_computer_has_a_warning() -> anyhow::Result<()> {
    let client = json!({"client_name": "Claude Code", "redirect_uris": ["http://localhost:4711/callback"]});
    let page = page_of(&client).await?;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(
        page.body
            .contains("a program on this computer</span> (<bdi>localhost"),
        "{}",
        page.body
    );
    assert!(
        page.body.contains("Any program on it can claim this name"),
        "{}",
        page.body
    );
    Ok(())
}

#[tokio::test]
async fn the_page_runs_nothing_and_is_not_kept_framed_or_leaked() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    let onward = tab.decide(&consent, "allow").await?;
    let problem = tab.authorize("").await?;
    let mut nonces = Vec::new();
    for page in [&consent, &onward, &problem] {
        let policy = page.header("content-security-policy").unwrap_or_default();
        let (_, rest) = page.body.split_once("<style nonce=\"").expect("a style");
        let nonce = rest.split('"').next().unwrap_or_default();
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )
        );
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("access-control-allow-origin"), None);
        assert!(!page.body.contains("<script"), "{}", page.body);
        assert!(!page.body.contains(" style=\""), "{}", page.body);
        nonces.push(nonce.to_owned());
    }
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_hostile_name_is_shown_harmless() -> anyhow::Result<()> {
    let name = format!(
        "</bdi></style><script>alert(1)</script>\"'>\u{202e}\u{2066}evil\u{200b}\u{0} {}",
        "W".repeat(150)
    );
    let client = json!({
        "client_name": name,
        "redirect_uris": [REDIRECT],
        "logo_uri": "https://evil.example/logo.png",
        "client_uri": "https://evil.example/home",
    });
    let page = page_of(&client).await?;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("&#60;script&#62;alert(1)"), "{}", page.body);
    for text in [
        "<script",
        "evil.example",
        "\u{202e}",
        "\u{2066}",
        "\u{200b}",
        "\u{0}",
        "onerror=",
    ] {
        assert!(!page.body.contains(text), "{text:?}: {}", page.body);
    }
    // Cut, and says so.
    assert!(page.body.contains("WWW…</bdi>"), "{}", page.body);
    assert!(!page.body.contains(&"W".repeat(100)), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn a_program_without_a_name_is_called_so() -> anyhow::Result<()> {
    let page = page_of(&json!({"redirect_uris": [REDIRECT]})).await?;
    assert!(page.body.contains(">Unnamed client</bdi>"), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn a_form_that_is_not_ours_is_refused() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let consent = tab.authorize(&stage.query(&[])).await?;
    let request = ("request", consent.request());
    let forms: [&[(&str, String)]; 4] = [
        std::slice::from_ref(&request),
        &[request.clone(), ("decision", "perhaps".to_owned())],
        &[("decision", "allow".to_owned())],
        &[
            request.clone(),
            ("decision", "deny".to_owned()),
            ("decision", "allow".to_owned()),
        ],
    ];
    for form in forms {
        let page = tab
            .send(Method::POST, "/authorize/consent", Some(form), &[])
            .await?;
        assert_problem(&page, 400, "bad_request");
    }
    let large = [
        request,
        ("decision", "allow".to_owned()),
        ("x", "y".repeat(50_000)),
    ];
    let page = tab
        .send(Method::POST, "/authorize/consent", Some(&large), &[])
        .await?;
    assert_eq!(page.status, 413, "{}", page.body);
    assert_eq!(stage.stored("login_request").await?, 0);
    Ok(())
}
