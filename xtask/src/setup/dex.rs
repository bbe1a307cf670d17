//! Dex: the real issuer of `--dex` and of the real-Dex tests, built from the Go module in tests/dex where there is Go.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::go_program::{GoProgram, no_flags};
use crate::process;
use crate::version::Version;

/// Dex, as tests/dex requires it.
pub(super) const DEX: GoProgram = GoProgram {
    file: "dex",
    variable: "DEX_BIN",
    folder: "tests/dex",
    module: "github.com/dexidp/dex",
    package: "github.com/dexidp/dex/cmd/dex",
    linker_flags: no_flags,
    oldest_go: Version::new(1, 25, 0),
    proves: ensure_is_dex,
    left_out: "--dex and the real-Dex tests are left out",
};

/// # Errors
/// When it does not run here, or is another program.
fn ensure_is_dex(binary: &Path) -> Result<()> {
    ensure!(binary.is_file(), "{} is not a file", binary.display());
    let run = process::ask(Command::new(binary).arg("version"))?.succeeded("dex version")?;
    ensure!(
        run.stdout.starts_with("Dex Version:"),
        "`{} version` does not look like Dex",
        binary.display()
    );
    Ok(())
}
