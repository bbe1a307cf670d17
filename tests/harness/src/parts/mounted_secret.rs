//! A Secret as a kubelet mounts it: each file is a link through `..data`, which leads to the folder of one version and is
//! swapped at once.

use std::path::PathBuf;

use tempfile::TempDir;

/// A mounted Secret. Its folder is removed on drop.
#[derive(Debug)]
pub struct MountedSecret {
    volume: TempDir,
    versions: usize,
}

impl MountedSecret {
    /// Mounts a Secret of these files: name and content.
    ///
    /// # Errors
    /// When the file system has no symbolic links.
    pub fn mount(files: &[(&str, &str)]) -> std::io::Result<Self> {
        let mut secret = Self {
            volume: TempDir::with_prefix("tokenward-secret-")?,
            versions: 0,
        };
        secret.update(files)?;
        Ok(secret)
    }

    /// Swaps in another version with these files, all at once.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn update(&mut self, files: &[(&str, &str)]) -> std::io::Result<()> {
        self.versions += 1;
        let version = format!("..version_{}", self.versions);
        let folder = self.volume.path().join(&version);
        std::fs::create_dir(&folder)?;
        for (name, content) in files {
            std::fs::write(folder.join(name), content)?;
        }
        let unfinished = self.volume.path().join("..data_tmp");
        std::os::unix::fs::symlink(&version, &unfinished)?;
        std::fs::rename(&unfinished, self.volume.path().join("..data"))?;
        for (name, _) in files {
            let link = self.path(name);
            if link.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(format!("..data/{name}"), link)?;
            }
        }
        if self.versions > 1 {
            let before = format!("..version_{}", self.versions - 1);
            std::fs::remove_dir_all(self.volume.path().join(before))?;
        }
        Ok(())
    }

    /// Where a process reads the file `name`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.volume.path().join(name)
    }
}
