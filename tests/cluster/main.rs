//! The chart, its documentation and the programs against a real Kubernetes API server: `cargo xtask cluster --check`.

mod added;
mod conflict;
mod installing;
mod quickstart;
mod resources;
mod rights;
mod rolling;
mod served;
mod stage;
mod stories;
mod upgrade;
mod validation;
