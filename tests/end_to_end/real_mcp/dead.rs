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

/// Everybody has called, and is idle.
async fn all_idle(clients: &[McpClient]) -> anyhow::Result<()> {
    for client in clients {
        client.wait_for(|said| said["event"] == "idle", PATIENCE).await?;
        assert_noticed_nothing(client, &client.said());
    }
    Ok(())
}

/// 401 with `WWW-Authenticate` and `resource_metadata`: each SDK finds the way to the issuer by itself and asks for a login.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_grant_died_every_sdk_asks_for_a_login_at_the_right_issuer() -> anyhow::Result<()> {
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
        let said = client.ended(PATIENCE).await?;
        assert!(
            said.contains(&wanted),
            "{:?}, not {wanted}:\n{}",
            client.sdk,
            client.printed()
        );
        let after = said.iter().rfind(|line| line["step"] == "call");
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
    let nobodys = format!(
        "{}/.well-known/oauth-protected-resource/nobodys",
        world.envoy.url()
    );
    assert_eq!(http.get(nobodys).send().await?.status(), 404);
    assert_eq!(world.upstream_requests(), 0);
    Ok(())
}

/// 503 when waiting helps: each SDK reports it, keeps the login, asks nobody to log in, and works again by itself.
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
            .wait_for(|said| said["step"] == "call" && said["ok"] == false, PATIENCE)
            .await?;
        if client.sdk != McpSdk::Python {
            assert_eq!(failed["status"], 503, "{:?}: {failed}", client.sdk);
        }
    }
    setting.world.home.set_down(false);
    for client in &clients {
        let said = client.ended(PATIENCE).await?;
        let retried = said.iter().find(|line| line["step"] == "retry");
        assert_eq!(
            retried.map(|line| &line["ok"]),
            Some(&json!(true)),
            "{}",
            client.printed()
        );
        for event in ["login_wanted", "thrown_away", "tokens_saved"] {
            assert!(
                said.iter().all(|line| line["event"] != event),
                "{}",
                client.printed()
            );
        }
    }
    setting.servers.assert_saw_good_tokens_only();
    Ok(())
}
