//! Behaviour tests.

mod crash;
mod deployment;
mod documentation;
mod exchange;
mod fake_dex;
mod issuer_failures;
mod logout;
mod refresh;
mod replicas;
mod seal;
mod secrecy;
mod sessions;
mod sign_out;
mod store_conformance;
mod store_outage;
mod token_endpoint;
mod traffic;
