//! The command line that `cargo xtask` shares with the demo, the replay and the benchmarks.
//!
//! - [`DemoFlags`], [`ReplayFlags`], [`BenchFlags`], [`SimulateFlags`]: one definition of each program's flags. `cargo xtask` parses them before
//!   it builds anything, the program parses them again;
//! - [`Look`]: what standard output can show; [`wrap`] breaks text between words at its width.

mod flags;
mod terminal;

pub use flags::{
    BenchFlags, Benchmark, CONTROL_PARTS, ControlFlags, DATA_PATH_LANES, DataPathFlags, DemoFlags, INCIDENTS,
    LimitsFlag, Measurement, MemoryFlags, ReplayFlags, SimulateFlags, StormFlags,
};
pub use terminal::{Look, wrap};
