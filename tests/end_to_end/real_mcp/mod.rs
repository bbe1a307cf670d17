//! Real MCP servers and the official SDKs through the gateway, with ID tokens of seconds. Left out, with a line that says
//! so, where they are not installed.

mod alive;
mod dead;
mod kubernetes;

use std::time::Duration;

use serde_json::{Value, json};
use tokenward_harness::issuer::{FakeDex, Issuer};
use tokenward_harness::mcp_server::{McpServer, McpTrust};
use tokenward_harness::parts::{McpClient, McpProgram, McpSdk, tools};
use tokenward_harness::world::{CLIENT, LOCAL, Login, World, WorldBuilder};

const REMOTE: &str = "remote-1";
/// ID tokens and exchanged tokens live this long.
const TOKENS_LIVE: Duration = Duration::from_secs(10);
/// What is let through is good for so long at the least: a busy machine takes some seconds from here to the server.
const MARGIN: Duration = Duration::from_secs(4);
/// Longer than a token lives.
const IDLE_SECONDS: u64 = 12;
/// For a client's whole story on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether everything is installed; says so when it is not.
fn is_installed(story: &str) -> bool {
    let installed = tools::mcp_node().is_some() && tools::mcp_python().is_some();
    if !installed {
        tokenward_harness::aloud!("left out: {story}: {}", tools::MCP_IS_MISSING);
    }
    installed
}

fn short_lived() -> WorldBuilder {
    World::builder()
        .short_lived(TOKENS_LIVE, MARGIN)
        .filter_setting("refresh_ahead", "6s")
}

/// Two real servers, each behind a strict check of tokens that counts.
struct Servers {
    /// Sessions, listeners, long calls; takes the home issuer's tokens.
    everything: McpServer,
    /// The style of 2026-07-28, and the older ones; takes the remote issuer's tokens.
    modern: McpServer,
    _programs: [McpProgram; 2],
}

impl Servers {
    async fn behind(world: &mut World<FakeDex>) -> anyhow::Result<Self> {
        let programs = [McpProgram::everything().await?, McpProgram::modern().await?];
        let [everything, modern] = programs.each_ref().map(McpProgram::address);
        let exchanged = world.exchange_client(REMOTE).expect("a client").id.clone();
        let servers = Self {
            everything: McpServer::start_in_front_of(McpTrust::of(&world.home, CLIENT.0), everything).await?,
            modern: McpServer::start_in_front_of(McpTrust::of(&world.remote, &exchanged), modern).await?,
            _programs: programs,
        };
        let places = [
            (LOCAL, servers.everything.address()),
            (REMOTE, servers.modern.address()),
        ];
        world.put_behind(&places).await?;
        Ok(servers)
    }

    /// Every request that reached one of them had a good token.
    fn assert_saw_good_tokens_only(&self) {
        for (name, server) in [("everything", &self.everything), ("modern", &self.modern)] {
            let counts = server.counts();
            assert!(counts.accepted > 0, "{name}: {counts:?}");
            assert_eq!(
                (counts.rejected_expired, counts.rejected_other),
                (0, 0),
                "{name}: {counts:?}"
            );
        }
    }
}

fn start<I: Issuer>(
    world: &World<I>,
    sdk: McpSdk,
    server: &str,
    login: &Login,
    steps: &[Value],
) -> anyhow::Result<McpClient> {
    let url = format!("{}/{server}/mcp", world.envoy.url());
    McpClient::start(sdk, &url, &login.tokens.id_token, &login.session, steps)
}

fn idle() -> Value {
    json!({"do": "idle", "seconds": IDLE_SECONDS})
}

fn tools_step() -> Value {
    json!({"do": "tools"})
}

fn call(name: &str, arguments: &Value) -> Value {
    json!({"do": "call", "name": name, "arguments": arguments})
}

fn echo() -> Value {
    call("echo", &json!({"message": "hello"}))
}

/// No step failed and no error was reported in the background.
fn assert_noticed_nothing(client: &McpClient, said: &[Value]) {
    for line in said {
        let fine = line["ok"] == true || line["event"] == "idle";
        assert!(fine, "{:?}: {line}\n{}", client.sdk, client.printed());
    }
}

/// The answer to the first step of this name.
fn first<'a>(said: &'a [Value], step: &str) -> &'a Value {
    said.iter()
        .find(|line| line["step"] == step)
        .unwrap_or_else(|| panic!("no step {step}: {said:?}"))
}
