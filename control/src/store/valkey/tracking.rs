//! Which keys Valkey reports the changes of, and what its reports mean (`CLIENT TRACKING` in broadcasting mode).
//!
//! Broadcasting names every changed key with one of the prefixes, read or not: the server keeps no table of keys for it that
//! could overflow, and a read needs no command beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::ConnectionLike;
use redis::{Cmd, PushInfo, PushKind, RedisResult, Value, cmd};

use super::compact;
use crate::store::recent::{Generation, RecentReads};

/// The kinds of records whose reads are held: what a token request reads to hand out a stored token.
const HELD_KINDS: [&str; 3] = ["grant", "session", "sid_ended"];

/// Whether reads of records of `kind` are held.
pub(super) fn is_held(kind: &str) -> bool {
    HELD_KINDS.contains(&kind)
}

/// Holds recent reads as long as the server reports changes.
pub(super) struct Tracking {
    /// What was read.
    pub(super) recent: Arc<RecentReads>,
    command: Cmd,
    /// Whether it was logged that the server does not report changes.
    is_refusal_logged: AtomicBool,
}

impl Tracking {
    /// Of the records whose keys begin with `key_prefix`.
    pub(super) fn new(key_prefix: &str) -> Self {
        let mut command = cmd("CLIENT");
        command.arg("TRACKING").arg("ON").arg("BCAST");
        for kind in HELD_KINDS {
            let kind = compact::encode_kind(kind);
            command.arg("PREFIX").arg(format!("{key_prefix}{{{kind}:"));
        }
        Self {
            recent: Arc::default(),
            command,
            is_refusal_logged: AtomicBool::new(false),
        }
    }

    /// Has the server report changes on `connection`. One that refuses leaves every read to the store.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn begin(
        &self,
        connection: &mut impl ConnectionLike,
        generation: Generation,
    ) -> RedisResult<()> {
        match self.command.query_async(connection).await {
            Ok(Value::Okay) => self.recent.begin(generation),
            Ok(_) => self.refused("it answers CLIENT TRACKING with something else than OK"),
            Err(error) if error.is_unrecoverable_error() || error.is_io_error() || error.is_timeout() => {
                return Err(error);
            }
            // The message of a server may quote what it refuses: a command without secrets.
            Err(error) => self.refused(error.code().unwrap_or("no code")),
        }
        Ok(())
    }

    fn refused(&self, cause: &str) {
        if !self.is_refusal_logged.swap(true, Ordering::Relaxed) {
            tracing::info!(
                cause,
                hint = "allow the user +client|tracking, or set store.valkey.client_side_caching: false",
                "Valkey does not report changed records: each token request reads the store"
            );
        }
    }

    /// Applies what the server reports on a connection.
    pub(super) fn reported(&self, push: &PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        match push.data.as_slice() {
            [Value::Array(names)] => {
                for name in names {
                    match name {
                        Value::BulkString(name) => {
                            // Keys of control's are text.
                            if let Ok(name) = std::str::from_utf8(name) {
                                self.recent.changed(name);
                            }
                        }
                        _ => self.recent.all_changed(),
                    }
                }
            }
            // FLUSHALL or FLUSHDB, or a form that this version does not know.
            _ => self.recent.all_changed(),
        }
    }
}
