//! Behaviour tests.

mod abuse;
mod crash;
mod deployment;
mod doctor;
mod documentation;
mod exchange;
mod explain;
mod fake_dex;
mod filter_delivery;
mod intake;
mod issuer_failures;
mod logout;
mod openapi;
mod protected_resource;
mod refresh;
mod reload;
mod seal;
mod secrecy;
mod sessions;
mod sign_out;
mod store_conformance;
mod store_outage;
mod token_endpoint;
