//! A Dex in the test process: the observable behaviour of Dex v2.45.1 on 127.0.0.1, with a movable clock, counters
//! and failures on demand. It is held to answers of a real Dex by the tests in `tests/harness/tests/fake_dex`.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_harness::issuer::{DexConfig, Endpoint, FakeDex, Failure};
//! let dex = FakeDex::start(DexConfig::default()).await?;
//! let tokens = dex.log_in("admin@example.com", "muster").await?;
//! dex.fail_next(Endpoint::Refresh, 2, &Failure::internal_error());
//! assert_eq!(dex.counts().refreshes_presented, 0);
//! # Ok(()) }
//! ```

mod answers;
mod clock;
mod config;
mod counting_proxy;
pub(crate) mod counts;
mod dex;
mod disguise;
mod exchange;
pub(crate) mod faults;
pub(crate) mod form;
mod front;
mod grants;
mod inspection;
pub(crate) mod jose;
pub(crate) mod keys;
mod login;
mod mint;
mod mishaps;
pub mod opaque;
mod role;
mod server;
mod token_endpoint;
mod tokens;
pub(crate) mod wire;

pub use clock::IssuerClock;
pub use config::{DexClient, DexConfig, DexConnector, DexUser, RefreshTokenPolicy};
pub use counts::{IssuerCounts, Presentation, fingerprint};
pub use disguise::Disguise;
pub use faults::{Endpoint, Failure};
pub use mint::TokenDraft;
pub use role::Issuer;
pub use server::{FakeDex, LoginTokens};
pub use wire::subject;

pub(crate) use clock::milliseconds;
pub(crate) use counting_proxy::CountingProxy;
pub use jose::http_client;
