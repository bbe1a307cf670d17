//! Lines that appear in the output of a test run.

use std::fmt::Arguments;
use std::io::Write as _;

/// Writes a line to the process's own output: other output of a passing test is not shown by the runner.
pub fn write(line: Arguments<'_>) {
    // In one piece, or lines of tests that run beside it come between.
    let text = format!("{line}\n");
    // A closed pipe is no reason to fail.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// `println!` for what must not be missed: a story that is left out, and why.
#[macro_export]
macro_rules! aloud {
    ($($text:tt)*) => {
        $crate::aloud::write(format_args!($($text)*))
    };
}
