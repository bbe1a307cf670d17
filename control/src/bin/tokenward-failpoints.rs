//! The control service, built so that a test can make it die at a chosen place (`TOKENWARD_FAILPOINT=before:present`).
//! Never shipped: it is only built with the feature `failpoints`.

#[path = "../main.rs"]
mod service;

fn main() -> std::process::ExitCode {
    service::main()
}
