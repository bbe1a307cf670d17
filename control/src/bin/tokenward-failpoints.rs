//! The control service in a build that a test can abort at a selected point (`TOKENWARD_FAILPOINT=before:present`).
//! Not part of a release: it is only built with the feature `failpoints`.

#[path = "../main.rs"]
mod service;

fn main() -> std::process::ExitCode {
    service::main()
}
