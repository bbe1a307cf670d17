//! The chart, its documentation and the programs against a real Kubernetes API server: `cargo xtask cluster --check`.

mod resources;
mod served;
