//! docs/quickstart.md: its manifests and its script on a real API server, and what it shows on real parts.

mod parts;
mod script;
mod story;

use std::path::PathBuf;

use tokenward_harness::parts::tools;
use tokenward_tests::pages::document;

/// A file of the quickstart.
fn file(name: &str) -> PathBuf {
    tools::workspace().join("envoy/quickstart").join(name)
}

fn text(name: &str) -> anyhow::Result<String> {
    document(&format!("envoy/quickstart/{name}"))
}
