//! The pure rules of the control service: tables and decisions, without a socket or a store.

mod answers;
mod attachments;
mod codec;
mod config;
mod decisions;
mod dialects;
mod discovery;
mod import;
mod key_sets;
mod limits;
mod lineage;
mod logins;
mod odd_answers;
mod records;
mod relayed;
mod retry_after;
mod seal;
mod shapes;
mod signatures;
mod standing;
mod streaks;
mod takeovers;
mod token_responses;
mod token_types;
mod valkey_address;
mod wycheproof;
