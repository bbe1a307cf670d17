//! Entra ID, Okta, Auth0 and Google in the test process: each answers on 127.0.0.1 as its documentation says, in a
//! time that tests move, counts what arrives, and fails on demand. None of them was compared with the real service; each
//! product's file names its sources.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use tokenward_harness::cloud_issuers::{CloudConfig, CloudIssuer, CloudProduct};
//! let okta = CloudIssuer::start(CloudConfig::of(CloudProduct::Okta)).await?;
//! let laptop = okta.log_in("ada@example.com");
//! let phone = okta.log_in("ada@example.com");
//! assert_ne!(laptop.refresh_token, phone.refresh_token);
//! okta.end_logins("ada@example.com");
//! assert_eq!(okta.counts().refreshes_presented, 0);
//! # Ok(()) }
//! ```

mod answer;
mod auth0;
mod authorization;
mod client;
mod client_key;
mod config;
mod engine;
mod entra;
mod front;
mod google;
mod logins;
mod okta;
mod product;
mod server;
mod token_endpoint;

pub use client_key::CloudClientKey;
pub use config::{CloudClient, CloudConfig, Rotation};
pub use product::{CloudProduct, UserState};
pub use server::CloudIssuer;
