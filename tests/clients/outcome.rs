//! What a client came to, counted from the lines that it printed.

use anyhow::ensure;
use serde::Serialize;
use serde_json::Value;

/// The first login, and the one after the first has ended at Dex.
const LOGINS: usize = 2;
/// More is a loop: the user stops.
const MOST_LOGINS: usize = 4;
/// Clients that try once after a refresh report the 401 of a dead login once; then they log in.
const MOST_FAILURES: u64 = 1;

/// Counts of one client at one server.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outcome {
    /// The client, as it calls itself.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The server.
    pub(crate) server: &'static str,
    /// Whether its first login worked.
    pub(crate) logged_in: bool,
    /// Tools that it listed.
    pub(crate) tools: u64,
    /// Calls that worked after all tokens had expired, while the login lived.
    pub(crate) calls_after_expiry: usize,
    /// Calls that worked after the login had ended and the user had logged in again.
    pub(crate) calls_after_new_login: usize,
    /// Times that it sent the user to log in.
    pub(crate) logins: usize,
    /// Logins that it wanted although the one before was alive.
    pub(crate) logins_lost: usize,
    /// Calls that the user had to try again.
    pub(crate) failures: u64,
    #[serde(skip)]
    pub(crate) idle_times: usize,
    #[serde(skip)]
    all_idle_times: usize,
    #[serde(skip)]
    failed: Vec<String>,
    #[serde(skip)]
    pub(crate) printed: String,
}

impl Outcome {
    /// Of a client that is idle so many times; after the last one its login has ended.
    pub(crate) fn new(server: &'static str, idle_times: usize) -> Self {
        Self {
            server,
            all_idle_times: idle_times,
            ..Self::default()
        }
    }

    fn login_has_ended(&self) -> bool {
        self.idle_times == self.all_idle_times
    }

    /// Counts a line of the client.
    pub(crate) fn take(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        match line["event"].as_str() {
            Some("client") => (self.name, self.version) = (text("name"), text("version")),
            Some("idle") => self.idle_times += 1,
            Some("login_wanted") => {
                self.logins += 1;
                let due = if self.login_has_ended() { LOGINS } else { 1 };
                self.logins_lost += usize::from(self.logins > due);
            }
            _ => {}
        }
        let Some(step) = line["step"].as_str() else {
            return;
        };
        if line["ok"] != true {
            self.failed.push(line.to_string());
            return;
        }
        match step {
            "connect" => self.logged_in = self.logins == 1,
            "tools" => self.tools = line["count"].as_u64().unwrap_or_default(),
            "call" => {
                self.failures += line["failures"].as_u64().unwrap_or_default();
                if self.login_has_ended() {
                    self.calls_after_new_login += 1;
                } else if self.idle_times > 0 {
                    self.calls_after_expiry += 1;
                }
            }
            _ => {}
        }
    }

    /// Whether the user goes along with one more login.
    pub(crate) fn may_log_in(&self) -> bool {
        self.logins <= MOST_LOGINS
    }

    /// What every client is promised.
    pub(crate) fn ensure_promises(&self) -> anyhow::Result<()> {
        let calls = (self.calls_after_expiry, self.calls_after_new_login);
        ensure!(
            self.failed.is_empty()
                && self.logged_in
                && self.tools > 0
                && calls == (self.all_idle_times - 1, 1)
                && (self.logins, self.logins_lost) == (LOGINS, 0)
                && self.failures <= MOST_FAILURES,
            "{self:#?}\n{}",
            self.printed
        );
        Ok(())
    }
}
