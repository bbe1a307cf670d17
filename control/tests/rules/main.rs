//! The pure rules of the control service: tables and decisions, without a socket or a store.

mod answers;
mod asked;
mod budget;
mod config;
mod decisions;
mod discovery;
mod http_date;
mod import;
mod kept;
mod key_sets;
mod lineage;
mod logins;
mod odd_answers;
mod records;
mod seal;
mod shapes;
mod signatures;
mod streaks;
mod takeovers;
mod throttle;
mod token_types;
mod traffic;
mod valkey_address;
mod wycheproof;
