//! The relay: control at an issuer's public token endpoint.

mod edge;
mod raw;
