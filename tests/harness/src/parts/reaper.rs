//! Ends what a static holds: nothing drops a static, so its processes would outlive this one.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Kills the processes that are named first, and removes the folders, when this process ends and with it the pipe.
const SCRIPT: &str = r#"read -r _; kill -9 $1; shift; rm -rf "$@""#;

/// Ends the processes `pids` and removes `folders` once this process has ended, however that happens. The returned child
/// must be held until then.
///
/// # Errors
/// When no shell can be started.
pub(super) fn outlive(pids: &[u32], folders: &[&Path]) -> anyhow::Result<Child> {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let mut reaper = Command::new("/bin/sh");
    reaper
        .args(["-c", SCRIPT, "reaper"])
        .arg(pids.join(" "))
        .args(folders)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(reaper.spawn()?)
}
