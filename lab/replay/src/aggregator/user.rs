//! Users of the aggregator, and their sessions as it stores them in Valkey.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokenward_harness::parts::ValkeyClient;
use tokio::sync::Mutex;

/// One session, as it is stored in Valkey.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) handle: String,
    pub(super) id_token: String,
    pub(super) refresh_token: String,
    /// By server. Empty where the gateway exchanges.
    pub(super) exchanged: BTreeMap<String, String>,
}

impl Session {
    /// Stores it.
    pub(super) async fn store(&self, valkey: &ValkeyClient, email: &str) -> anyhow::Result<()> {
        let text = serde_json::to_string(self)?;
        let reply = valkey.command(&["SET", &key(email), &text]).await?;
        ensure!(
            reply.starts_with("+OK"),
            "Valkey did not store a session: {reply}"
        );
        Ok(())
    }

    /// Reads it back.
    pub(super) async fn read(valkey: &ValkeyClient, email: &str) -> anyhow::Result<Self> {
        // As a status reply the record comes in one line.
        let script = "return {ok = redis.call('GET', KEYS[1])}";
        let reply = valkey.command(&["EVAL", script, "1", &key(email)]).await?;
        let text = reply.strip_prefix('+').context("the session is gone")?;
        Ok(serde_json::from_str(text.trim_end())?)
    }
}

fn key(email: &str) -> String {
    format!("aggregator:session:{email}")
}

/// A user of it. Clones are the same user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) email: &'static str,
    session: Arc<RwLock<Session>>,
    alive: Arc<AtomicBool>,
    /// Held while the user's tokens are refreshed or replaced.
    pub(super) refreshing: Arc<Mutex<()>>,
}

impl User {
    pub(crate) fn new(email: &'static str) -> Self {
        Self {
            email,
            session: Arc::default(),
            alive: Arc::new(AtomicBool::new(true)),
            refreshing: Arc::default(),
        }
    }

    /// Notes whether the user's grant is alive, so that a refusal can be judged.
    pub(crate) fn set_alive(&self, alive: bool) {
        self.alive.store(alive, Ordering::SeqCst);
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub(super) fn session(&self) -> Session {
        self.session
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_session(&self, session: Session) {
        *self.session.write().unwrap_or_else(PoisonError::into_inner) = session;
    }
}
