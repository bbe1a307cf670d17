//! The pure rules of the control service: tables and decisions, without a socket or a store.

mod answers;
mod asked;
mod config;
mod decisions;
mod discovery;
mod http_date;
mod import;
mod kept;
mod lineage;
mod logins;
mod records;
mod shapes;
mod streaks;
mod throttle;
mod traffic;
mod valkey_address;
