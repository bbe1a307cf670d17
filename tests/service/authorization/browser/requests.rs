//! Which requests are accepted, and where a refused one is answered.

use serde_json::json;

use super::*;

/// Parameters of a request that differ from the usual ones; `None`: left out.
type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

#[tokio::test]
async fn what_is_wrong_with_a_configured_clients_request_is_told_to_the_client() -> anyhow::Result<()> {
    let client = json!({"client_id": "console", "name": "Console", "redirect_uris": [REDIRECT]});
    let mut stage = Stage::start(&json!({"clients": {"configured": [client]}})).await?;
    "console".clone_into(&mut stage.client_id);
    let tab = stage.tab()?;
    let long = "A".repeat(129);
    let cases: [(Changes<'_>, &str); 14] = [
        (&[("response_type", None)], "invalid_request"),
        (&[("response_type", Some("token"))], "unsupported_response_type"),
        (
            &[("response_type", Some("code id_token"))],
            "unsupported_response_type",
        ),
        (&[("response_mode", Some("fragment"))], "invalid_request"),
        (&[("response_mode", Some("form_post"))], "invalid_request"),
        (&[("code_challenge", None)], "invalid_request"),
        (&[("code_challenge_method", None)], "invalid_request"),
        (&[("code_challenge_method", Some("plain"))], "invalid_request"),
        (&[("code_challenge_method", Some("s256"))], "invalid_request"),
        (&[("code_challenge", Some("short"))], "invalid_request"),
        (&[("code_challenge", Some(&long))], "invalid_request"),
        (&[("resource", None)], "invalid_target"),
        (
            &[("resource", Some("https://mcp.example.com/other"))],
            "invalid_target",
        ),
        (&[("prompt", Some("none"))], "login_required"),
    ];
    for (changes, error) in cases {
        let answer = tab.authorize(&stage.query(changes)).await?;
        assert_eq!(answer.status, 303, "{changes:?}: {}", answer.body);
        let location = answer.location();
        assert!(location.starts_with(&format!("{REDIRECT}?")), "{location}");
        assert_eq!(parameter(location, "error"), error, "{changes:?}");
        assert_eq!(parameter(location, "state"), "state of the client");
        assert_eq!(parameter(location, "iss"), ISSUER);
    }
    let twice = [
        "response_type=code",
        "code_challenge=x",
        "code_challenge_method=S256",
        "scope=mcp",
        "prompt=login",
    ];
    for again in twice {
        let query = format!("{}&prompt=login&{again}", stage.query(&[]));
        let answer = tab.authorize(&query).await?;
        assert_eq!(
            parameter(answer.location(), "error"),
            "invalid_request",
            "{again}"
        );
    }
    let two = format!("{}&{}", stage.query(&[]), encoded(&[("resource", RESOURCES[1])]));
    let answer = tab.authorize(&two).await?;
    assert_eq!(parameter(answer.location(), "error"), "invalid_target");
    Ok(())
}

/// RFC 9700 §4.11.2: a link to us must not be a link to a site that registered itself. The user sees the refusal, and decides
/// whether the program is told. A program on the user's own computer is told at once.
#[tokio::test]
async fn a_refused_request_leads_to_a_site_that_registered_itself_only_by_the_users_hand()
-> anyhow::Result<()> {
    let local = "http://127.0.0.1:51234/callback";
    let client = json!({"client_name": "Inspector", "redirect_uris": [REDIRECT, local]});
    let stage = Stage::with_client(&json!({}), &client).await?;
    let tab = stage.tab()?;
    let cases: [(Changes<'_>, &str, u16); 3] = [
        (&[("prompt", Some("none"))], "login_required", 400),
        (
            &[("response_type", Some("token"))],
            "unsupported_response_type",
            400,
        ),
        (
            &[("resource", Some("https://mcp.example.com/other"))],
            "invalid_target",
            400,
        ),
    ];
    for (changes, error, status) in cases {
        let shown = tab.authorize(&stage.query(changes)).await?;
        assert_eq!(shown.status, status, "{changes:?}: {}", shown.body);
        assert_eq!(shown.header("location"), None, "{changes:?}");
        assert!(!shown.body.contains("http-equiv"), "{}", shown.body);
        let link = shown.link();
        assert!(link.starts_with(&format!("{REDIRECT}?")), "{link}");
        assert_eq!(parameter(&link, "error"), error, "{changes:?}");
        assert_eq!(parameter(&link, "iss"), ISSUER);

        let mut changes = changes.to_vec();
        changes.push(("redirect_uri", Some(local)));
        let told = tab.authorize(&stage.query(&changes)).await?;
        assert_eq!(told.status, 303, "{changes:?}: {}", told.body);
        assert!(told.location().starts_with(&format!("{local}?")), "{changes:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_no_client_can_be_answered_for_is_shown_to_the_user() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let long = "s".repeat(2049);
    let cases: [(Changes<'_>, &str); 6] = [
        (&[("client_id", None)], "bad_request"),
        (&[("client_id", Some("twc1.unknown"))], "unknown_client"),
        (
            &[("client_id", Some("<script>alert(1)</script>"))],
            "unknown_client",
        ),
        (&[("redirect_uri", None)], "bad_request"),
        (
            &[("redirect_uri", Some("https://evil.example/"))],
            "unknown_redirect_uri",
        ),
        (&[("state", Some(&long))], "bad_request"),
    ];
    for (changes, code) in cases {
        let page = tab.authorize(&stage.query(changes)).await?;
        assert_problem(&page, 400, code);
        assert!(!page.body.contains("<script"), "{}", page.body);
    }
    for again in ["client_id", "redirect_uri", "state"] {
        let page = tab.authorize(&format!("{}&{again}=x", stage.query(&[]))).await?;
        assert_problem(&page, 400, "bad_request");
    }
    // What parsers read differently is not read at all.
    for malformed in [
        "%",
        "%zz",
        "state=%0d%0aset-cookie:%20a=b",
        "state=%00",
        "state=%ff",
    ] {
        let query = format!("{}&{malformed}", stage.query(&[("state", None)]));
        let page = tab.authorize(&query).await?;
        assert_problem(&page, 400, "bad_request");
        assert_eq!(page.header("set-cookie"), None);
    }
    let many = format!("{}{}", stage.query(&[]), "&a=b".repeat(100));
    assert_problem(&tab.authorize(&many).await?, 400, "bad_request");
    Ok(())
}

/// Of 2025-03-26, which knows no `resource`.
#[tokio::test]
async fn a_client_without_a_resource_gets_the_default_server() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({"default_server": "second"})).await?;
    let page = stage
        .tab()?
        .authorize(&stage.query(&[("resource", None)]))
        .await?;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains(RESOURCES[1]), "{}", page.body);
    assert!(!page.body.contains(RESOURCES[0]), "{}", page.body);
    Ok(())
}

#[tokio::test]
async fn unknown_scopes_and_parameters_are_dropped_and_a_state_may_be_json_or_absent() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let json = r#"{"a":"b&c=d#e","n":1}"#;
    let changes = [
        ("scope", Some("openid mcp profile")),
        ("state", Some(json)),
        ("foo", Some("bar")),
        ("prompt", Some("consent")),
        ("response_mode", Some("query")),
    ];
    let page = tab.authorize(&stage.query(&changes)).await?;
    assert!(page.body.contains("scope: mcp</span>"), "{}", page.body);
    let denied = tab.decide(&page, "deny").await?;
    assert_eq!(parameter(&denied.onward(), "state"), json);

    let page = tab
        .authorize(&stage.query(&[("state", None), ("scope", None)]))
        .await?;
    let denied = tab.decide(&page, "deny").await?.onward();
    assert!(
        !parameters(&denied).iter().any(|(name, _)| name == "state"),
        "{denied}"
    );
    Ok(())
}

/// RFC 6749 §3.1: the endpoint may be posted to.
#[tokio::test]
async fn a_request_may_come_as_a_form() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let tab = stage.tab()?;
    let query = format!("http://q/?{}", stage.query(&[]));
    let form: Vec<(String, String)> = parameters(&query);
    let form: Vec<(&str, String)> = form
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let page = tab.send(Method::POST, "/authorize", Some(&form), &[]).await?;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(!page.request().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_huge_request_is_not_read() -> anyhow::Result<()> {
    let stage = Stage::start(&json!({})).await?;
    let huge = "y".repeat(12 * 1024);
    let query = format!("{}&x={huge}", stage.query(&[]));
    let page = stage.tab()?.authorize(&query).await?;
    assert_problem(&page, 400, "bad_request");
    let form = [("client_id", stage.client_id.clone()), ("x", huge)];
    let page = stage
        .tab()?
        .send(Method::POST, "/authorize", Some(&form), &[])
        .await?;
    assert_eq!(page.status, 413, "{}", page.body);
    Ok(())
}
