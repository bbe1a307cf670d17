//! Notices changed files by their content, read at an interval. A mounted Secret or ConfigMap changes by the swap of a
//! symbolic link above the file, over which a watch on the file itself stays silent.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

/// Files that change together are read until two looks so far apart agree: one reload for one burst.
const SETTLE: Duration = Duration::from_millis(250);
/// Looks at files that never agree, before their present content is taken.
const MAX_SETTLE_LOOKS: usize = 20;
/// Longest file that is read: that of a filter module. What is behind it does not count.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The content of files: a digest for each, `None` for a file that cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<PathBuf, Option<[u8; 32]>>);

impl Contents {
    /// Reads `files`.
    pub(super) async fn of(files: BTreeSet<PathBuf>) -> Self {
        let read = tokio::task::spawn_blocking(move || {
            let digests = files.into_iter().map(|path| {
                let digest = digest(&path);
                (path, digest)
            });
            Self(digests.collect())
        });
        read.await.unwrap_or_default()
    }

    /// The files whose content differs from `before`.
    pub(super) fn changed_since(&self, before: &Self) -> Vec<PathBuf> {
        let changed = self
            .0
            .iter()
            .filter(|(path, digest)| before.0.get(*path) != Some(digest));
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// These contents, but for the files in `before` as they were then.
    pub(super) fn or_as_in(mut self, before: &Self) -> Self {
        for (path, digest) in &mut self.0 {
            if let Some(earlier) = before.0.get(path) {
                *digest = *earlier;
            }
        }
        self
    }

    /// The files.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        self.0.keys().cloned().collect()
    }
}

/// Follows links, so that a swapped one counts as a change only if the content behind it is another.
fn digest(path: &Path) -> Option<[u8; 32]> {
    let mut content = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut content)
        .ok()?;
    // Most of these files are secrets: their memory is cleared.
    let content = SecretSlice::from(content);
    Some(Sha256::digest(content.expose_secret()).into())
}

/// Waits until the files of `known` have another content and two looks agree on it; returns that content.
pub(super) async fn changed(known: &Contents, interval: Duration) -> Contents {
    let files = known.files();
    loop {
        tokio::time::sleep(interval).await;
        let mut seen = Contents::of(files.clone()).await;
        if seen == *known {
            continue;
        }
        for _ in 0..MAX_SETTLE_LOOKS {
            tokio::time::sleep(SETTLE.min(interval)).await;
            let again = Contents::of(files.clone()).await;
            if again == seen {
                break;
            }
            seen = again;
        }
        // A file that was changed back is no change.
        if seen != *known {
            return seen;
        }
    }
}

#[cfg(test)]
mod tests;
