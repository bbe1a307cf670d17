//! What the SDKs make of 401 and 503.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::parts::{McpClient, McpSdk, ports, write_file};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};

use super::{
    PATIENCE, REMOTE, Servers, assert_noticed_nothing, echo, is_installed, short_lived, start, tools_step,
};

/// A gateway whose servers are protected resources: its 401 names a document that control serves.
struct Setting {
    world: World,
    servers: Servers,
    alice: Login,
    folder: TempDir,
}

impl Setting {
    async fn new() -> anyhow::Result<Self> {
        let mut world = short_lived().resources_at(ports::free_port()?).start().await?;
        let servers = Servers::behind(&mut world).await?;
        let alice = world.log_in(ALICE).await?;
        Ok(Self {
            world,
            servers,
            alice,
            folder: TempDir::with_prefix("tokenward-sdks-")?,
        })
    }

    /// A step that lasts until [`Setting::all_go_on`].
    fn idle(&self) -> Value {
        json!({"do": "until", "file": self.folder.path().join("go-on")})
    }

    fn all_go_on(&self) -> std::io::Result<()> {
        write_file(&self.folder, "go-on", "").map(drop)
    }

    /// Three SDKs with a session, and the two newer ones in the stateless style.
    fn clients(&self, steps: &[Value]) -> anyhow::Result<Vec<McpClient>> {
        let mut clients = Vec::new();
        for sdk in McpSdk::ALL {
            clients.push(start(&self.world, sdk, LOCAL, &self.alice, steps)?);
            if sdk != McpSdk::TypeScript1 {
                clients.push(start(&self.world, sdk, REMOTE, &self.alice, steps)?);
            }
        }
        Ok(clients)
    }
}

/// All clients have called, and are idle.
async fn all_idle(clients: &[McpClient]) -> anyhow::Result<()> {
    for client in clients {
        client.wait_for(|line| line["event"] == "idle", PATIENCE).await?;
        assert_noticed_nothing(client, &client.messages());
    }
    Ok(())
}

/// 401 with `WWW-Authenticate` and `resource_metadata`: each SDK finds the way to the issuer by itself and requests a
/// login.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_grant_died_every_sdk_requests_a_login_at_the_right_issuer() -> anyhow::Result<()> {
    if !is_installed("the SDKs at 401") {
        return Ok(());
    }
    let setting = Setting::new().await?;
    let clients = setting.clients(&[tools_step(), echo(), setting.idle(), echo()])?;
    all_idle(&clients).await?;
    assert!(setting.world.home.revoke(ALICE, CLIENT.0));
    setting.world.wait_until_tokens_expired().await;
    setting.all_go_on()?;
    let wanted = json!({"event": "login_wanted", "at": format!("{}/auth", setting.world.home.issuer())});
    for client in &clients {
        let lines = client.ended(PATIENCE).await?;
        assert!(
            lines.contains(&wanted),
            "{:?}, not {wanted}:\n{}",
            client.sdk,
            client.printed()
        );
        let after = lines.iter().rfind(|line| line["step"] == "call");
        let after = after.unwrap_or_else(|| panic!("no call:\n{}", client.printed()));
        assert_eq!(after["ok"], false, "{}", client.printed());
        if client.sdk != McpSdk::Python {
            assert_eq!(after["error"], "UnauthorizedError", "{:?}: {after}", client.sdk);
        }
    }
    setting.servers.assert_saw_good_tokens_only();
    let stats = setting.world.envoy.stats().await?;
    let from_control = [
        ("envoy_cluster_name", "mcp_resource-documents"),
        ("envoy_response_code", "200"),
    ];
    let documents = stats.count("envoy_cluster_upstream_rq", &from_control);
    assert!(documents >= clients.len() as u64, "{documents} documents read");
    setting.world.ensure_one_warning_per_pair_and_minute(2).await
}

/// RFC 9728 §3.3, §5.1: from the 401 to the issuer, through the gateway itself, with the very URL that the client used.
#[tokio::test(flavor = "multi_thread")]
async fn a_401_names_the_resources_own_document_and_that_names_the_issuer() -> anyhow::Result<()> {
    let world = World::builder().resources_at(ports::free_port()?).start().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    for server in [LOCAL, REMOTE] {
        let resource = format!("{}/{server}/mcp", world.envoy.url());
        let refused = http.post(&resource).send().await?;
        assert_eq!(refused.status(), 401);
        let challenge = refused.headers()["www-authenticate"].to_str()?;
        let (_, rest) = challenge.split_once("resource_metadata=\"").expect("an address");
        let address = rest.trim_end_matches('"');
        let path = address.strip_prefix(&world.envoy.url());
        assert_eq!(
            path,
            Some(&*format!("/.well-known/oauth-protected-resource/{server}/mcp"))
        );
        let document = http.get(address).send().await?;
        assert_eq!(document.status(), 200);
        assert_eq!(document.headers()["content-type"], "application/json");
        assert_eq!(document.headers()["cache-control"], "public, max-age=300");
        let document: Value = document.json().await?;
        assert_eq!(document["resource"], resource, "as the client used it");
        assert_eq!(document["authorization_servers"], json!([world.home.issuer()]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    let unknown = format!(
        "{}/.well-known/oauth-protected-resource/unknown",
        world.envoy.url()
    );
    assert_eq!(http.get(unknown).send().await?.status(), 404);
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}

/// 503 when waiting helps: each SDK reports it, retains the login, requests no login, and works again by itself.
#[tokio::test(flavor = "multi_thread")]
async fn while_waiting_helps_no_sdk_throws_its_login_away() -> anyhow::Result<()> {
    if !is_installed("the SDKs at 503") {
        return Ok(());
    }
    let setting = Setting::new().await?;
    let retry = json!({"do": "retry", "name": "echo", "arguments": {"message": "again"}});
    let clients = setting.clients(&[tools_step(), echo(), setting.idle(), echo(), retry])?;
    all_idle(&clients).await?;
    setting.world.home.set_down(true);
    setting.world.wait_until_tokens_expired().await;
    setting.all_go_on()?;
    for client in &clients {
        let failed = client
            .wait_for(|line| line["step"] == "call" && line["ok"] == false, PATIENCE)
            .await?;
        if client.sdk != McpSdk::Python {
            assert_eq!(failed["status"], 503, "{:?}: {failed}", client.sdk);
        }
    }
    setting.world.home.set_down(false);
    for client in &clients {
        let lines = client.ended(PATIENCE).await?;
        let retried = lines.iter().find(|line| line["step"] == "retry");
        assert_eq!(
            retried.map(|line| &line["ok"]),
            Some(&json!(true)),
            "{}",
            client.printed()
        );
        for event in ["login_wanted", "thrown_away", "tokens_saved"] {
            assert!(
                lines.iter().all(|line| line["event"] != event),
                "{}",
                client.printed()
            );
        }
    }
    setting.servers.assert_saw_good_tokens_only();
    Ok(())
}

/// The listener of 2026-07-28 is a request: it gets 503 like a call, never the 405 that would end it for good, and opens once
/// the issuer is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_listener_is_refused_with_503_and_opens_once_the_issuer_is_back() -> anyhow::Result<()> {
    if !is_installed("the SDKs' listener at 503") {
        return Ok(());
    }
    let setting = Setting::new().await?;
    let listen = json!({"do": "listen"});
    let retry = json!({"do": "retry", "name": "echo", "arguments": {"message": "again"}});
    let touch = json!({"do": "call", "name": "touch", "arguments": {}});
    let notified = json!({"do": "events", "count": 1, "since_call": true});
    let steps = [
        tools_step(),
        setting.idle(),
        listen.clone(),
        retry,
        listen,
        touch,
        notified,
    ];
    let sdks = McpSdk::ALL.into_iter().filter(|sdk| *sdk != McpSdk::TypeScript1);
    let clients: Vec<McpClient> = sdks
        .map(|sdk| start(&setting.world, sdk, REMOTE, &setting.alice, &steps))
        .collect::<Result<_, _>>()?;
    all_idle(&clients).await?;
    setting.world.home.set_down(true);
    setting.world.wait_until_tokens_expired().await;
    setting.all_go_on()?;
    let is_listen = |line: &Value, ok: bool| line["step"] == "listen" && line["ok"] == ok;
    for client in &clients {
        client.wait_for(|line| is_listen(line, false), PATIENCE).await?;
    }
    setting.world.home.set_down(false);
    for client in &clients {
        let lines = client.ended(PATIENCE).await?;
        assert!(
            lines.iter().any(|line| is_listen(line, true)),
            "{}",
            client.printed()
        );
        let notified = lines.iter().find(|line| line["step"] == "events");
        assert_eq!(
            notified.map(|line| &line["ok"]),
            Some(&json!(true)),
            "{}",
            client.printed()
        );
    }
    let counts = setting.servers.modern.counts();
    assert_eq!(
        (counts.rejected_expired, counts.rejected_other),
        (0, 0),
        "{counts:?}"
    );
    let stats = setting.world.envoy.stats().await?;
    let listeners = |outcome| {
        let labels = [
            ("server", REMOTE),
            ("mcp_method", "subscriptions/listen"),
            ("outcome", outcome),
        ];
        stats.count("tokenward_requests_total", &labels)
    };
    let refused = listeners("issuer_unavailable") + listeners("gated_issuer_unavailable");
    assert!(refused >= clients.len() as u64, "{refused} refused listeners");
    Ok(())
}
