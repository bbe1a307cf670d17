//! Lines for whoever runs the tests.

use std::fmt::Arguments;
use std::io::Write as _;

/// Writes a line to the process's own output: what a good test prints otherwise, the runner keeps to itself.
pub fn write(line: Arguments<'_>) {
    // In one piece, or lines of tests that run beside it come between.
    let text = format!("{line}\n");
    // A reader who has gone away is no reason to fail.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// `println!` for what nobody may miss: a story that is left out, and why.
#[macro_export]
macro_rules! aloud {
    ($($text:tt)*) => {
        $crate::aloud::write(format_args!($($text)*))
    };
}
