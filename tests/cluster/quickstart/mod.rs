//! docs/quickstart.md: its manifests and its script on a real API server, and what it shows on real parts.

mod script;
mod story;

use std::path::PathBuf;

use anyhow::Context as _;
use tokenward_harness::parts::tools;

/// A file of the quickstart.
fn file(name: &str) -> PathBuf {
    tools::workspace().join("envoy/quickstart").join(name)
}

fn text(name: &str) -> anyhow::Result<String> {
    let path = file(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}
