//! Behaviour tests.

mod deployment;
mod exchange;
mod fake_dex;
mod refresh;
mod sessions;
mod store_outage;
mod token_endpoint;
