//! One request to Valkey: its reply, or an error with a cause for callers and a hint for operators.

use redis::{ErrorKind, RedisError, ScriptInvocation, Value, cmd};
use secrecy::ExposeSecret;

use super::diagnosis::Diagnosis;
use super::link::{Request, RequestError};
use super::{ValkeyStore, listing, reply, scripts};
use crate::store::error::EngineError;
use crate::store::{Entry, Key, StoreError, WriteOutcome};

impl ValkeyStore {
    pub(super) async fn request(
        &self,
        operation: &'static str,
        key: &Key,
        request: Request<'_>,
    ) -> Result<Value, StoreError> {
        match self.link.request(request).await {
            Ok(reply) => Ok(reply),
            Err(RequestError::Late) => Err(StoreError::Late {
                operation,
                deadline: self.deadline,
            }),
            Err(RequestError::Failed(error)) if is_record_error(&error) => Err(StoreError::Unexpected {
                key: key.clone(),
                what: self.redacted(&error),
            }),
            Err(RequestError::Failed(error)) => Err(StoreError::Failed {
                operation,
                source: Box::new(self.engine_error(&error)),
            }),
        }
    }

    fn engine_error(&self, error: &RedisError) -> EngineError {
        let message = self.redacted(error);
        let diagnosis = Diagnosis::new(error, &message);
        EngineError {
            cause: diagnosis.cause().into(),
            hint: Some(diagnosis.hint()),
            is_denied: diagnosis.is_denied(),
            message: format!("Valkey at {}: {message}", self.address),
        }
    }

    /// The lowest slot of the primary after the one of `slot`.
    pub(super) async fn next_primary(&self, kind: &Key, slot: u16) -> Result<Option<u16>, StoreError> {
        if !self.is_cluster {
            return Ok(None);
        }
        let mut command = cmd("CLUSTER");
        command.arg("SLOTS");
        let reply = self.request("list", kind, Request::Command(&command)).await?;
        let primaries = listing::primaries(&reply).map_err(unexpected(kind))?;
        Ok(primaries.into_iter().find(|lowest| *lowest > slot))
    }

    pub(super) async fn run(
        &self,
        operation: &'static str,
        key: &Key,
        script: &ScriptInvocation<'_>,
    ) -> Result<Value, StoreError> {
        self.request(operation, key, Request::Script(script)).await
    }

    pub(super) async fn get(&self, key: &Key, name: &str) -> Result<Option<Entry>, StoreError> {
        let mut command = cmd("GET");
        command.arg(name);
        let reply = self.request("read", key, Request::Command(&command)).await?;
        reply::entry(reply).map_err(unexpected(key))
    }

    /// Runs a script that may change the record at `key`, stored as `name`. No read from before is used once this returns,
    /// whatever became of the script.
    pub(super) async fn change(
        &self,
        operation: &'static str,
        (key, name): (&Key, &str),
        script: &ScriptInvocation<'_>,
    ) -> Result<WriteOutcome, StoreError> {
        let reply = self.run(operation, key, script).await;
        if let Some(tracking) = &self.tracking {
            tracking.recent.changed(name);
        }
        reply::outcome(reply?).map_err(unexpected(key))
    }

    /// The message of `error` without passwords.
    pub(super) fn redacted(&self, error: &RedisError) -> String {
        self.secrets
            .iter()
            .map(ExposeSecret::expose_secret)
            .filter(|secret| !secret.is_empty())
            .fold(error.to_string(), |message, secret| {
                message.replace(secret, "[password]")
            })
    }
}

/// Whether the record is at fault and not the server: a value of another type at the key, a malformed record that a script
/// reports, or a reply that does not follow the protocol.
fn is_record_error(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType)
        || matches!(error.code(), Some("WRONGTYPE" | scripts::UNEXPECTED_CODE))
}

pub(super) fn unexpected(key: &Key) -> impl FnOnce(reply::Malformed) -> StoreError + '_ {
    |what| StoreError::Unexpected {
        key: key.clone(),
        what: what.to_owned(),
    }
}
