//! An issuer with a refresh token for each login: each login is refreshed, ended and exchanged on its own.

mod configuration;
mod devices;
mod ends;
mod exchanges;
mod relayed;
mod replaced;
pub(crate) mod stage;
mod views;
mod without_handle;
