//! After the story: everything stays up for calls by hand.

use std::convert::Infallible;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::Screen;
use super::watcher::Watcher;
use tokenward_harness::issuer::Issuer;
use tokenward_harness::world::{ALICE, LOCAL, Login, World};

/// The demo's name in the lists of clients.
const NAME: &str = "tokenward-demo";

const STREAMS_LAST: Duration = Duration::from_secs(3600);

/// Logs alice in once more, prints URLs and commands, and shows what happens until it is dropped.
///
/// # Errors
/// When alice cannot log in, or her headers cannot be written.
pub async fn stay_up<I: Issuer>(world: &World<I>, screen: &Screen) -> anyhow::Result<Infallible> {
    let mut watcher = Watcher::of_everything(world, screen);
    for name in world.server_names() {
        // In the story a listener's stream ends with its events; a client of a person would open it every second.
        world.server(&name).set_streams_last(STREAMS_LAST);
    }
    let alice = world.log_in(ALICE).await?;
    let folder = TempDir::with_prefix("tokenward-demo-")?;
    let headers = write_headers(&folder, &alice)?;
    print(world, screen, &headers);
    Ok(watcher.watch().await)
}

/// The login's token and session handle as header lines for curl, readable by this user only.
fn write_headers(folder: &TempDir, login: &Login) -> anyhow::Result<PathBuf> {
    let path = folder.path().join("alice.headers");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    writeln!(file, "authorization: Bearer {}", login.tokens.id_token)?;
    writeln!(file, "x-tokenward-session: {}", login.session)?;
    Ok(path)
}

fn print<I: Issuer>(world: &World<I>, screen: &Screen, headers: &Path) {
    let (gateway, admin, control) = (world.envoy.url(), world.envoy.admin_url(), world.control.url());
    screen.note("Everything stays up until Ctrl-C");
    screen.fact("gateway", &format!("{gateway}/local/mcp  {gateway}/remote-1/mcp"));
    screen.fact("gateway stats", &format!("{admin}/stats/prometheus"));
    screen.fact("control metrics", &format!("{control}/metrics"));
    screen.line("");
    print_clients(world, screen);
    screen.note("Call as alice, whom an aggregator has logged in. Her token in that file expires in 15 s; the same command goes on working:");
    let headers = headers.display();
    screen.command(&format!("curl -i -H @{headers} \\"));
    screen.command("     -H 'content-type: application/json' \\");
    screen.command("     -H 'accept: application/json, text/event-stream' \\");
    screen.command("     -d '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}' \\");
    screen.command(&format!("     {gateway}/{LOCAL}/mcp"));
    screen.line("");
    screen.note("Without a token the gateway answers 401, and names the document from which a client learns where to log in:");
    screen.command(&format!("curl -i {gateway}/{LOCAL}/mcp"));
    screen.command(&format!(
        "curl -s {gateway}/.well-known/oauth-protected-resource/{LOCAL}/mcp"
    ));
    screen.line("");
    screen.note("What the gateway counted:");
    screen.command(&format!("curl -s {admin}/stats/prometheus | grep ^tokenward_"));
    screen.line("");
}

/// How a person logs a client of their own in.
fn print_clients<I: Issuer>(world: &World<I>, screen: &Screen) {
    let url = world.resource(LOCAL);
    screen.note(&format!(
        "Log in with a client of your own: it needs the URL {url} only"
    ));
    screen.command(&format!("claude mcp add --transport http {NAME} {url}"));
    screen.command(&format!(
        "code --add-mcp '{{\"name\":\"{NAME}\",\"type\":\"http\",\"url\":\"{url}\"}}'"
    ));
    screen.command(&format!(
        "npx @modelcontextprotocol/inspector --transport http --server-url {url}"
    ));
    screen.line("");
    screen.note("Its login opens a browser: allow the client, and log in as one of the users of the issuer's page, password `password`");
    screen.line("");
}
