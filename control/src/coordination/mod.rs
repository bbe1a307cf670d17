//! One task at a time for one key: within a process (`singleflight`) and across replicas (`lease`).

pub mod lease;
pub mod singleflight;
