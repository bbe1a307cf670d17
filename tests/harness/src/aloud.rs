//! Lines for the terminal on which the tests run.

use std::fmt::Arguments;
use std::io::Write as _;

/// Writes a line to the process's own output: the runner captures what a passing test prints otherwise.
pub fn write(line: Arguments<'_>) {
    // In one write, or lines of concurrent tests come between.
    let text = format!("{line}\n");
    // A closed pipe is no reason to fail.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// `println!` that is always shown: for a story that is left out, and the reason.
#[macro_export]
macro_rules! aloud {
    ($($text:tt)*) => {
        $crate::aloud::write(format_args!($($text)*))
    };
}
