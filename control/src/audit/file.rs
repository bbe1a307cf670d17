//! The audit log's file: appended to, and opened again once it is no longer the file of its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Sink;

/// Readable for the owner and the group: a log reader often runs as another user of the group.
const MODE: u32 = 0o640;

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Device and inode.
    identity: (u64, u64),
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            file,
        })
    }

    /// Whether [`LogFile::open`] would find the file, or a folder to create it in.
    pub(super) fn check(path: &Path) -> io::Result<()> {
        match OpenOptions::new().append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                std::fs::read_dir(folder.unwrap_or(Path::new("."))).map(drop)
            }
            opened => opened.map(drop),
        }
    }

    /// Whether a log rotation has moved or removed the file.
    fn is_moved(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => (metadata.dev(), metadata.ino()) != self.identity,
            Err(_) => true,
        }
    }
}

impl Sink for LogFile {
    fn write_line(&mut self, line: &str) -> io::Result<()> {
        if self.is_moved() {
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(line.as_bytes())
    }
}
