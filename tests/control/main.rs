//! Behaviour tests.

mod abuse;
mod crash;
mod deployment;
mod documentation;
mod exchange;
mod fake_dex;
mod issuer_failures;
mod issuer_matrix;
mod logout;
mod refresh;
mod seal;
mod secrecy;
mod sessions;
mod sign_out;
mod store_conformance;
mod store_outage;
mod strict_issuer;
mod token_endpoint;
mod valkey_faults;
mod wycheproof;
