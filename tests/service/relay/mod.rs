//! The relay: control at an issuer's public token endpoint.

mod edge;
mod logins;
mod presented;
mod races;
mod raw;
mod refreshes;
mod stage;
