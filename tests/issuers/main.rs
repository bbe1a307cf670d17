//! Control, the filter and Envoy on a real Keycloak as home and as remote: `cargo xtask issuers --check`. Left out, with a line
//! on the terminal, where Keycloak is not installed.

mod access_tokens;
mod callers;
mod credentials;
mod deaths;
mod devices;
mod doctor;
mod exchange;
mod exchange_between_realms;
mod keys;
mod logout;
mod lost;
mod mistakes;
mod offline;
mod stage;
mod worlds;
