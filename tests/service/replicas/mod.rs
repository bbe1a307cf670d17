//! Real control processes on one real Valkey: one refresh for all of them, and what one of them leaves when it dies.

mod callers;
mod deaths;
mod login_deaths;
mod relay_deaths;
