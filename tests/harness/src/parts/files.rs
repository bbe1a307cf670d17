//! Files of a test, in a temporary folder that is removed on drop ([`tempfile::TempDir`]).

use std::io;
use std::path::{Path, PathBuf};

/// Writes `content` to the file `name` of `folder` and returns its path.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file(
    folder: impl AsRef<Path>,
    name: impl AsRef<Path>,
    content: impl AsRef<[u8]>,
) -> io::Result<PathBuf> {
    let path = folder.as_ref().join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}
