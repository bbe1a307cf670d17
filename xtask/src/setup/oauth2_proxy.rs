//! oauth2-proxy: a client of issuers that refreshes by itself, for `cargo xtask relay`, built from the Go module in
//! tests/oauth2-proxy where there is Go.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::go_program::{GoProgram, no_flags};
use crate::process;
use crate::version::Version;

/// oauth2-proxy, as tests/oauth2-proxy requires it.
pub(super) const OAUTH2_PROXY: GoProgram = GoProgram {
    file: "oauth2-proxy",
    variable: "OAUTH2_PROXY_BIN",
    folder: "tests/oauth2-proxy",
    module: "github.com/oauth2-proxy/oauth2-proxy/v7",
    package: "github.com/oauth2-proxy/oauth2-proxy/v7",
    linker_flags: no_flags,
    oldest_go: Version::new(1, 26, 0),
    proves: ensure_is_oauth2_proxy,
    left_out: "`cargo xtask relay` leaves out what needs it",
};

/// # Errors
/// When it does not run here, or is another program.
fn ensure_is_oauth2_proxy(binary: &Path) -> Result<()> {
    ensure!(binary.is_file(), "{} is not a file", binary.display());
    let run = process::ask(Command::new(binary).arg("--version"))?.succeeded("oauth2-proxy --version")?;
    ensure!(
        run.stdout.starts_with("oauth2-proxy "),
        "`{} --version` does not look like oauth2-proxy",
        binary.display()
    );
    Ok(())
}
