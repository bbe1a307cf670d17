//! MCP clients: registration, metadata documents that control fetches from hosts that any caller can name, and assertions.

mod assertions;
mod documents;
mod policy;
mod refused;
mod registration;
mod server;
mod stage;
