//! What the SDKs make of 401 and 503.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokenward_tests::parts::{LoopbackServer, LoopbackSocket, McpClient, McpSdk};
use tokenward_tests::world::{ALICE, CLIENT, LOCAL, Login, World};

use super::{
    PATIENCE, REMOTE, Servers, assert_noticed_nothing, echo, idle, is_installed, short_lived, start,
    tools_step,
};

const METADATA: &str = "/.well-known/oauth-protected-resource";

/// The gateway's protected resource metadata (RFC 9728), as somebody in front of it serves it.
struct Metadata {
    resource: Arc<OnceLock<Value>>,
    url: String,
    _server: LoopbackServer,
}

impl Metadata {
    async fn serve() -> anyhow::Result<Self> {
        let socket = LoopbackSocket::bind().await?;
        let url = format!("http://{}{METADATA}", socket.address());
        let resource: Arc<OnceLock<Value>> = Arc::default();
        let told = resource.clone();
        let answer = move || async move { axum::Json(told.get().cloned().unwrap_or_default()) };
        let router = Router::new().route(METADATA, get(answer));
        Ok(Self {
            resource,
            url,
            _server: socket.serve(router, Arc::default()),
        })
    }

    fn tell(&self, world: &World) {
        let metadata = json!({
            "resource": format!("{}/", world.envoy.url()), "authorization_servers": [world.home.issuer()],
        });
        self.resource.set(metadata).expect("told once");
    }
}

struct Setting {
    world: World,
    servers: Servers,
    alice: Login,
    _metadata: Metadata,
}

impl Setting {
    async fn new() -> anyhow::Result<Self> {
        let metadata = Metadata::serve().await?;
        let world = short_lived().filter_setting("resource_metadata", metadata.url.as_str());
        let mut world = world.start().await?;
        let servers = Servers::behind(&mut world).await?;
        metadata.tell(&world);
        let alice = world.log_in(ALICE).await?;
        Ok(Self {
            world,
            servers,
            alice,
            _metadata: metadata,
        })
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

/// Everybody has begun the first of two idle times, the second of which is longer than what is left of any token then.
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
    let clients = setting.clients(&[tools_step(), echo(), idle(), idle(), echo()])?;
    all_idle(&clients).await?;
    assert!(setting.world.home.revoke(ALICE, CLIENT.0));
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
    let tally = setting.world.tally();
    assert!((1..=2).contains(&tally.warnings), "one a pair: {tally:?}");
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
    let clients = setting.clients(&[tools_step(), echo(), idle(), idle(), echo(), retry])?;
    all_idle(&clients).await?;
    setting.world.home.set_down(true);
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
