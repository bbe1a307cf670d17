//! The rotation of the authorization server's signing keys: logins outlive it, whether a signal announces it or not.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::json;
use tokenward_control::authorization::access_token::generate;
use tokenward_harness::browser::Browser;
use tokenward_harness::mcp_login::{McpLogin, McpTokens, tokens};
use tokenward_harness::parts::MountedSecret;
use tokenward_harness::world::{ALICE, LOCAL, World};

const PATIENCE: Duration = Duration::from_secs(20);

/// How control learns of the rotated keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Signal,
    Watch,
}

/// A login at an authorization server whose keys are in a mounted Secret.
struct Rotation {
    world: World,
    secret: MountedSecret,
    client: McpLogin,
    by: By,
}

impl Rotation {
    async fn start(by: By, keys: [&str; 2]) -> anyhow::Result<Self> {
        let secret = MountedSecret::mount(&[("current", keys[0]), ("next", keys[1])])?;
        let signing_keys = json!({
            "current": {"file": secret.path("current")}, "next": {"file": secret.path("next")},
        });
        let interval = match by {
            By::Signal => "9m",
            By::Watch => "100ms",
        };
        let world = World::builder()
            .authorization()
            .authorization_setting("signing_keys", signing_keys)
            .control_setting("watch_interval", interval)
            .start()
            .await?;
        let client = McpLogin::register(&world.resource(LOCAL), "a program").await?;
        Ok(Self {
            world,
            secret,
            client,
            by,
        })
    }

    /// Puts `keys` in place of the present ones: current and next.
    async fn rotate(&mut self, keys: [&str; 2]) -> anyhow::Result<()> {
        let log = self.world.control.log();
        let mark = log.mark();
        self.secret.update(&[("current", keys[0]), ("next", keys[1])])?;
        if self.by == By::Signal {
            self.world.control.hang_up()?;
        }
        let reloaded = |line: &str| line.contains("the configuration was reloaded");
        log.wait_for_line_after(mark, reloaded, PATIENCE).await?;
        Ok(())
    }

    async fn refresh(&self, before: &McpTokens) -> anyhow::Result<McpTokens> {
        tokens(&self.client.refresh(&before.refresh_token).await?)
    }

    async fn status(&self, tokens: &McpTokens) -> anyhow::Result<u16> {
        let call = self.world.call(LOCAL).bearer(&tokens.access_token);
        Ok(call.send().await?.status)
    }
}

async fn logins_outlive_a_rotation(by: By) -> anyhow::Result<()> {
    let keys = [generate()?, generate()?, generate()?];
    let [first, second, third] = keys.each_ref().map(|key| key.expose_secret());
    let mut rotation = Rotation::start(by, [first, second]).await?;
    let login = rotation.client.log_in(&Browser::new()?, ALICE).await?;
    assert_eq!(rotation.status(&login).await?, 200);

    // The next key signs; the one that signed until now still verifies.
    rotation.rotate([second, first]).await?;
    assert_eq!(rotation.status(&login).await?, 200);
    let refreshed = rotation.refresh(&login).await?;
    assert_ne!(refreshed.key_id()?, login.key_id()?);
    assert_eq!(rotation.status(&refreshed).await?, 200);

    // The first key is gone: what it signed opens nothing at control any more, and the login goes on.
    rotation.rotate([second, third]).await?;
    let again = rotation.refresh(&refreshed).await?;
    assert_eq!(again.key_id()?, refreshed.key_id()?);
    assert_eq!(rotation.status(&again).await?, 200);
    assert_eq!(rotation.world.home.counts().refreshes_presented, 0);
    assert_eq!(rotation.world.tally().own_tokens, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_outlive_a_rotation_that_sighup_announces() -> anyhow::Result<()> {
    logins_outlive_a_rotation(By::Signal).await
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_outlive_a_rotation_that_control_notices_by_itself() -> anyhow::Result<()> {
    logins_outlive_a_rotation(By::Watch).await
}
