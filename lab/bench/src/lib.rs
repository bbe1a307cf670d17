//! The benchmarks, run by `cargo xtask bench`: what the filter costs in a real Envoy, how it holds its memory, and what a
//! token costs at control. See docs/benchmarks/README.md.

mod browser_session;
mod control;
mod data_path;
mod footprint;
mod gateway;
mod h2load;
mod installed;
mod lanes;
mod load;
mod machine;
mod made_up;
mod memory;
mod report;
mod rounds;
mod setting;
mod statistics;
mod storm;
mod stream;
mod summary;
mod tokens;
mod wire;

pub use control::{Control, ControlReport, control};
pub use data_path::{DataPath, data_path};

pub use memory::{Memory, memory};
pub use report::{Budget, Report};
pub use storm::{Storm, StormLimits, StormReport, storm};
