//! A login at control's authorization server as the chart publishes it, on a real Envoy Gateway.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokenward_control::authorization::access_token;
use tokenward_harness::browser::Browser;
use tokenward_harness::mcp_login::{McpLogin, tokens};
use tokenward_harness::parts::{EnvoyGateway, ports};
use tokenward_harness::world::{ALICE, Installation, LOCAL, World};

use super::page::{console_command, run};

/// A host name of the Gateway; the Gateway API takes no address for one.
const HOST: &str = "localhost";
const REMOTE: &str = "remote-1";

/// A world whose control is an authorization server, Envoy Gateway with what the chart renders for it, and its issuer.
async fn installed(story: &str) -> anyhow::Result<Option<(World, Installation, EnvoyGateway, String)>> {
    let port = ports::free_port()?;
    let issuer = format!("http://{HOST}:{port}");
    let callback = format!("{issuer}/authorize/callback");
    let started = World::start_installable_at(story, port, |builder| builder.redirect_uri(callback)).await?;
    let Some((mut world, mut installation)) = started else {
        return Ok(None);
    };
    let key = access_token::generate()?.expose_secret().as_bytes().to_vec();
    let mut config = world.control.config().clone().setting(
        "authorization",
        json!({"issuer": issuer, "signing_keys": {"current": {"file": "@signing-key"}}}),
    );
    config.files.push(("signing-key".to_owned(), key));
    let signing_keys = json!({"current": {"name": "tokenward-signing-keys", "key": "current.pem"}});
    installation = installation.value(
        "/authorization",
        json!({"issuer": issuer, "signingKeys": signing_keys}),
    )?;
    for (number, name) in [LOCAL, REMOTE].into_iter().enumerate() {
        let resource = format!("{issuer}/{name}/mcp");
        let server = config.servers.iter_mut().find(|server| server.name == name);
        server.context("no such server")?.resource = Some(resource.clone());
        installation = installation
            .value(&format!("/servers/{number}/resource"), resource)?
            .value(&format!("/servers/{number}/route/hostnames"), json!([HOST]))?;
    }
    world.control.terminate(Duration::from_secs(60)).await?;
    world.control.restart_with(config).await?;
    let gateway = world.install(&installation).await?;
    Ok(Some((world, installation, gateway, issuer)))
}

async fn call(world: &World, url: &str, server: &str, bearer: &str) -> anyhow::Result<u16> {
    Ok(world.call(server).at(url).bearer(bearer).send().await?.status)
}

/// Found, registered, consented, logged in, called, refreshed and signed out, with nothing but the server's URL.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_the_servers_url_logs_in_and_calls_through_envoy_gateway() -> anyhow::Result<()> {
    let Some((world, _installation, gateway, issuer)) = installed("a login through the Gateway").await?
    else {
        return Ok(());
    };
    let (local, remote) = (format!("{issuer}/{LOCAL}/mcp"), format!("{issuer}/{REMOTE}/mcp"));
    let browser = Browser::new()?;
    let client = McpLogin::register(&local, "A client").await?;
    let login = client.log_in(&browser, ALICE).await?;
    assert_eq!(call(&world, &issuer, LOCAL, &login.access_token).await?, 200);
    assert_eq!(
        call(&world, &issuer, REMOTE, &login.access_token).await?,
        401,
        "a token is for one server"
    );
    let other = McpLogin::register(&remote, "The same client").await?;
    let at_remote = other.log_in(&browser, ALICE).await?;
    assert_eq!(call(&world, &issuer, REMOTE, &at_remote.access_token).await?, 200);

    let refreshes = world.tally().refreshes;
    let next = tokens(&client.refresh(&login.refresh_token).await?)?;
    assert_eq!(call(&world, &issuer, LOCAL, &next.access_token).await?, 200);
    assert_eq!(
        world.tally().refreshes,
        refreshes,
        "a client's refresh does not reach the issuer"
    );

    // Control's endpoints, and none of its others.
    let http = reqwest::Client::builder().no_proxy().build()?;
    for (path, status) in [
        ("/jwks", 200),
        ("/oauth2/token", 404),
        ("/v1/explain", 404),
        ("/metrics", 404),
    ] {
        let answer = http.get(format!("{issuer}{path}")).send().await?;
        assert_eq!(answer.status(), status, "{path}");
    }
    let preflight = http
        .request(reqwest::Method::OPTIONS, format!("{issuer}/token"))
        .header("origin", "https://inspector.example.com")
        .header("access-control-request-method", "POST")
        .send()
        .await?;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");

    let tally = world.tally();
    assert_eq!(
        (tally.accepted, tally.own_tokens, tally.rejected_expired),
        (3, 0, 0)
    );
    assert_eq!(
        gateway
            .wasm_lines()
            .iter()
            .filter(|line| line.level == "error")
            .count(),
        0
    );
    Ok(())
}

/// What an SDK reads as an outage, and not as a reason to begin a login.
#[tokio::test(flavor = "multi_thread")]
async fn while_control_is_away_the_token_endpoint_is_temporarily_unavailable_and_no_login_is_lost()
-> anyhow::Result<()> {
    let Some((mut world, _installation, _gateway, issuer)) = installed("control away").await? else {
        return Ok(());
    };
    let client = McpLogin::register(&format!("{issuer}/{LOCAL}/mcp"), "A client").await?;
    let login = client.log_in(&Browser::new()?, ALICE).await?;
    world.control.kill()?;
    for _ in 0..4 {
        let answer = client.refresh(&login.refresh_token).await?;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let body: Value = serde_json::from_str(&answer.body).with_context(|| answer.body.clone())?;
        assert_eq!(body["error"], "temporarily_unavailable");
    }
    let page = reqwest::Client::builder()
        .no_proxy()
        .build()?
        .get(format!("{issuer}/authorize?client_id={}", client.client_id))
        .send()
        .await?;
    assert_eq!(page.status(), 503);
    let text = page.text().await?;
    ensure!(text.contains("<h1>The login is not available</h1>"), "{text}");

    world.control.restart().await?;
    // Control's own refusals pass as they are.
    let refused = client.refresh("twr1.made-up").await?;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (400, None),
        "{refused:?}"
    );
    let next = tokens(&client.refresh(&login.refresh_token).await?)?;
    assert_eq!(call(&world, &issuer, LOCAL, &next.access_token).await?, 200);
    assert_eq!(world.own_tokens(), 0);
    Ok(())
}

/// The two checks of way D on the installation page.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_checks_of_a_login_show_the_way_to_it() -> anyhow::Result<()> {
    let Some((_world, _installation, _gateway, issuer)) = installed("the checks of a login").await? else {
        return Ok(());
    };
    let server = (
        "https://mcp.example.com/kubernetes/mcp",
        format!("{issuer}/{LOCAL}/mcp"),
    );
    let challenge = console_command(&["-X POST", "www-authenticate"])?;
    let shown = run(&challenge, &[(server.0, &server.1)])?;
    let document = format!("{issuer}/.well-known/oauth-protected-resource/{LOCAL}/mcp");
    ensure!(
        shown.contains(&format!("resource_metadata=\"{document}\"")),
        "{shown}"
    );
    let command = console_command(&["oauth-protected-resource"])?;
    let named = "https://mcp.example.com/.well-known/oauth-protected-resource/kubernetes/mcp";
    let shown: Value = serde_json::from_str(&run(&command, &[(named, &document)])?)?;
    assert_eq!(shown["authorization_servers"], json!([issuer]));
    assert_eq!(shown["resource"], json!(server.1));
    Ok(())
}
