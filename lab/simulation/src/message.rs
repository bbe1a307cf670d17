//! What passes between gateways and control.

use std::sync::Arc;

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use crate::token::Stamp;

/// The caller of control, which gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// A worker of an Envoy.
    Worker {
        /// The shard.
        shard: u16,
        /// The Envoy within it.
        envoy: u16,
        /// How often that Envoy has started.
        life: u16,
        /// The worker.
        worker: u8,
        /// The call.
        call: u32,
    },
    /// A session whose user logs in again.
    Session {
        /// The shard.
        shard: u16,
        /// The session within it.
        session: u32,
    },
}

impl Asker {
    /// The shard that gets the answer.
    pub(crate) fn shard(self) -> usize {
        let (Self::Worker { shard, .. } | Self::Session { shard, .. }) = self;
        usize::from(shard)
    }

    /// As a number, for orders and digests.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Worker {
                shard, envoy, call, ..
            } => (u64::from(shard) << 48) | (u64::from(envoy) << 32) | u64::from(call),
            Self::Session { shard, session } => (1 << 63) | (u64::from(shard) << 48) | u64::from(session),
        }
    }
}

/// What it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A token for a server.
    Token {
        /// The presented token.
        presented: Stamp,
        /// The server.
        server: u16,
        /// Why.
        reason: Reason,
    },
    /// The state of the filter.
    State {
        /// The position in the log of sign-outs.
        after: u64,
        /// The version of the servers.
        servers: u64,
    },
    /// A new login of this user is registered.
    Login(u32),
}

/// A question to control.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    /// When it reaches control, Unix ms.
    pub(crate) at_ms: u64,
    pub(crate) from: Asker,
    pub(crate) ask: Ask,
}

/// Control's answer.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// A token.
    Token {
        /// What it is.
        stamp: Stamp,
        /// Its life when it was issued.
        life_seconds: u32,
    },
    /// No token.
    Refused {
        /// Why.
        refusal: Refusal,
        /// `Retry-After`.
        retry_after_seconds: Option<u64>,
    },
    /// The state.
    State(Arc<[u8]>),
    /// No replica could be connected to, or the chosen one died.
    Unreached,
    /// The user has logged in.
    LoggedIn(Stamp),
}

/// An answer with its time and its caller.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// When it reaches the gateway, Unix ms.
    pub(crate) at_ms: u64,
    pub(crate) to: Asker,
    pub(crate) said: Said,
}
