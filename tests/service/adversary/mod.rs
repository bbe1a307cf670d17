//! What an attacker, or a part that breaks in an unlucky moment, can make the service do.

mod discovery;
mod ends;
mod issuers;
mod keys;
mod lines;
mod moved_endpoints;
