//! The filter's stories: servers, sessions, tokens and control on top of the wasmtime host.
//!
//! ```no_run
//! use tokenward_protocol::refusal::Refusal;
//! use tokenward_wasm_host::story::{FilterWorld, exp_in, forward, secs, token};
//!
//! let world = FilterWorld::builder()
//!     .workers(4)
//!     .server(forward("kubernetes").issuer("https://dex.example.com").audience("kube"))
//!     .session_header("x-tokenward-session")
//!     .start();
//!
//! world.control().answers(token(exp_in(1800)));
//! let sent = world.request("kubernetes").bearer(token(exp_in(5))).session("s1").send();
//! assert!(sent.is_forwarded());
//! assert_eq!(world.control().calls().len(), 1);
//! assert_eq!(world.stale_arrivals().len(), 0);
//!
//! world.control().refuses(Refusal::NeedsLogin);
//! world.advance(secs(1800));
//! let sent = world.request("kubernetes").bearer(token(exp_in(5))).session("s1").on_worker(3).send();
//! assert_eq!(sent.status(), Some(401));
//! assert_eq!(world.warns().len(), 1);
//! ```

mod builder;
mod control;
mod request;
mod server;
mod token;
mod world;

use std::time::Duration;

pub use builder::FilterWorldBuilder;
pub use control::{ControlCall, ScriptedControl};
pub use request::{Bearer, RequestBuilder, Sent};
pub use server::{ServerSpec, exchange, forward};
pub use token::{Expiry, TokenBuilder, exchanged_token, exp_at, exp_in, no_exp, token};
pub use world::{ControlStory, FilterWorld, UpstreamRequest};

/// The issuer of presented tokens, unless a story sets another.
pub const ISSUER: &str = "https://dex.example.com";
/// The issuer of exchanged tokens, unless a story sets another.
pub const REMOTE_ISSUER: &str = "https://dex.remote.example.com";
/// The audience that servers require, unless a story sets another.
pub const AUDIENCE: &str = "kube";
/// The aggregator's own audience, which presented tokens carry, too.
pub const AGGREGATOR_AUDIENCE: &str = "muster";
/// The host of every request, unless a story sets another.
pub const HOST: &str = "mcp.example.com";
/// The session header of [`RequestBuilder::session`].
pub const SESSION_HEADER: &str = "x-tokenward-session";

/// Seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Minutes.
#[must_use]
pub const fn mins(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// Milliseconds.
#[must_use]
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
