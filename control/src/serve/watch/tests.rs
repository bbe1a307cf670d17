//! What counts as a change of a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::{Contents, changed};

const INTERVAL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

fn files(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    paths.iter().cloned().collect()
}

async fn next(known: &Contents) -> Contents {
    tokio::time::timeout(PATIENCE, changed(known, INTERVAL))
        .await
        .expect("the change is noticed")
}

/// A mounted Secret: `FILE` leads to `..data/FILE`, and `..data` to the folder of one version.
#[cfg(unix)]
fn swap(volume: &Path, version: &str, content: &str) {
    use std::os::unix::fs::symlink;
    let folder = volume.join(version);
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("tls.crt"), content).expect("a file");
    let unfinished = volume.join("..data_tmp");
    symlink(version, &unfinished).expect("a link");
    std::fs::rename(&unfinished, volume.join("..data")).expect("the swap");
    if !volume.join("tls.crt").exists() {
        symlink("..data/tls.crt", volume.join("tls.crt")).expect("a link");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_swap_of_a_mounted_secret_is_one_change() {
    let volume = TempDir::new().expect("a folder");
    swap(volume.path(), "..2026_01", "one");
    let file = volume.path().join("tls.crt");
    let known = Contents::of(files(std::slice::from_ref(&file))).await;

    swap(volume.path(), "..2026_02", "two");
    let seen = next(&known).await;
    assert_eq!(seen.changed_since(&known), std::slice::from_ref(&file));

    // A swap to the same content is none: the next change is the one after it.
    swap(volume.path(), "..2026_03", "two");
    swap(volume.path(), "..2026_04", "four");
    let last = next(&seen).await;
    assert_eq!(last.changed_since(&seen), [file]);
    assert_eq!(last, Contents::of(last.files()).await);
}

#[tokio::test]
async fn a_file_that_appears_disappears_or_is_rewritten_in_place_is_a_change() {
    let folder = TempDir::new().expect("a folder");
    let (key, other) = (folder.path().join("key"), folder.path().join("other"));
    std::fs::write(&other, "same").expect("a file");
    let mut known = Contents::of(files(&[key.clone(), other])).await;
    for content in [Some("one"), Some("two"), None, Some("two")] {
        match content {
            Some(content) => std::fs::write(&key, content).expect("a file"),
            None => std::fs::remove_file(&key).expect("it was there"),
        }
        let seen = next(&known).await;
        assert_eq!(
            seen.changed_since(&known),
            std::slice::from_ref(&key),
            "{content:?}"
        );
        known = seen;
    }
}

#[tokio::test]
async fn a_newly_named_file_is_known_as_it_was_before_the_configuration_was_read() {
    let folder = TempDir::new().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::write(&old, "before").expect("a file");
    std::fs::write(&new, "new").expect("a file");
    let before = Contents::of(files(std::slice::from_ref(&old))).await;
    std::fs::write(&old, "after").expect("a file");
    let known = Contents::of(files(&[old.clone(), new])).await.or_as_in(&before);
    // What changed while the configuration was read is still a change.
    assert_eq!(next(&known).await.changed_since(&known), [old]);
}
