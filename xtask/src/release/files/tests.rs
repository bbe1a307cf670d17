use std::path::PathBuf;

use super::{SUMS, ensure_sums, sha256_of, sums_of};

/// A folder of its own below the system's for temporary files, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tokenward-release-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("a file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn the_sums_are_those_of_sha256sum() {
    let folder = Folder::new("sums");
    folder.write("b", "abc");
    folder.write("a", "");
    folder.write(SUMS, "is not part of itself");
    assert_eq!(
        sums_of(&folder.0).expect("sums"),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
         ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n"
    );
    assert_eq!(
        sha256_of(&folder.0.join("b")).expect("a digest"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_changed_a_missing_and_an_added_file_are_named() {
    let folder = Folder::new("ensure");
    assert!(ensure_sums(&folder.0).is_err(), "no sums, no release");
    folder.write("a", "1");
    folder.write("b", "2");
    folder.write(SUMS, &sums_of(&folder.0).expect("sums"));
    ensure_sums(&folder.0).expect("nothing changed");
    folder.write("a", "changed");
    folder.write("c", "added");
    std::fs::remove_file(folder.0.join("b")).expect("it was there");
    let error = ensure_sums(&folder.0).expect_err("three differences").to_string();
    assert!(error.ends_with("does not fit its SHA256SUMS: a, b, c"), "{error}");
}
