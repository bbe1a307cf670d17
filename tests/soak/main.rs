//! Minutes of load on real Envoy, of kills of real control processes, and of a Valkey that is away: `cargo xtask soak`.
//! Every test here is ignored by the usual runs.

mod hammer;
mod hostile_streams;
mod kills;
mod one_pair;
mod pairs;
mod table;
mod valkey_outage;
