//! Behaviour tests of the filter on the wasmtime host.

mod fixtures;
mod fresh;
mod host_faithfulness;
mod near_expiry;
mod stale;
