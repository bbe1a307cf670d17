//! What one client goes through.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokenward_harness::browser::Browser;
use tokenward_harness::parts::{LoginClient, LoginClientKind, write_file};

use super::outcome::Outcome;
use super::stage::Stage;
use super::user;

/// For one line of a client on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Calls after an idle time that outlasts every token, and the one after the login at Dex has ended.
const IDLE_TIMES: usize = 3;

/// A call of the tool that every server has.
pub(crate) fn echo() -> Value {
    json!({"do": "call", "name": "echo", "arguments": {"message": "hello"}})
}

/// A step that lasts until there is this file.
pub(crate) fn until(file: &PathBuf) -> Value {
    json!({"do": "until", "file": file})
}

/// One client at one server, with a user of its own.
pub(crate) struct Story {
    pub(crate) client: LoginClientKind,
    pub(crate) server: &'static str,
    pub(crate) user: String,
}

impl Story {
    /// Logs in, lists, calls; twice more after all tokens have expired; and once more after the login at Dex has ended.
    pub(crate) async fn play(self, stage: Arc<Stage>) -> anyhow::Result<Outcome> {
        let folder = TempDir::with_prefix("tokenward-clients-")?;
        let go_on = |number: usize| format!("go-on-{number}");
        let mut steps = vec![json!({"do": "tools"}), echo()];
        for number in 0..IDLE_TIMES {
            steps.extend([until(&folder.path().join(go_on(number))), echo()]);
        }
        let url = stage.world.resource(self.server);
        let mut client = LoginClient::start(self.client, &url, None, &steps)?;
        let mut outcome = Outcome::new(self.server, IDLE_TIMES);
        let browser = Browser::new()?;
        loop {
            let line = client.next(PATIENCE).await?;
            outcome.take(&line);
            if line["event"] == "login_wanted" && outcome.may_log_in() {
                user::log_in(&browser, &line, &self.user)
                    .await
                    .with_context(|| format!("{:?}:\n{}", self.client, client.printed()))?;
            }
            if line["event"] == "idle" {
                let number = outcome.idle_times - 1;
                stage.wait_until_access_tokens_expired().await;
                if number == IDLE_TIMES - 1 {
                    stage.end_login(&self.user).await?;
                }
                write_file(&folder, &go_on(number), "")?;
            }
            if line["step"] == "end" {
                outcome.printed = client.printed();
                return Ok(outcome);
            }
        }
    }
}
