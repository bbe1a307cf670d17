//! Minutes of load on real Envoy, and of kills of real control processes: `cargo xtask soak`. Every test here is ignored by the usual runs.

mod hammer;
mod kills;
mod one_pair;
mod pairs;
mod table;
