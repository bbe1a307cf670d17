//! Where things are: the repository, cargo's target folder, the fetched tools.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The checkout that this binary was built from.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the checkout: cargo provides the folder of the xtask crate at run time.
    pub(crate) fn find() -> Result<Self> {
        let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = crate_folder
            .parent()
            .context("the xtask crate has no parent folder")?
            .to_path_buf();
        ensure!(
            root.join("Cargo.toml").is_file(),
            "{} is not a checkout of Tokenward",
            root.display()
        );
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root.join("target"), |folder| root.join(PathBuf::from(folder)));
        Ok(Self { root, target })
    }

    /// The folder of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder (`CARGO_TARGET_DIR`, else `target`).
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The folder of everything that setup fetches: always `target/tools` of the checkout, where the tests look.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// `path` as seen from the repository, for messages.
    pub(crate) fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// A cargo command in the repository.
    ///
    /// The variables that `cargo run` set for this process are dropped: build scripts that watch them would
    /// otherwise rebuild whenever a person alternates between `cargo xtask` and plain cargo.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        command.current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            if is_set_by_cargo_run(&name) {
                command.env_remove(&name);
            }
        }
        command
    }

    /// Cargo's `--config` by which no path of this machine gets into what is built for `target`: the same source then gives the
    /// same bytes in another folder and for another user.
    pub(crate) fn path_remapping(&self, target: &str) -> String {
        let flags: Vec<String> = [(cargo_home(), "/cargo"), (self.root.clone(), "/tokenward")]
            .iter()
            .map(|(path, name)| format!("{:?}", format!("--remap-path-prefix={}={name}", path.display())))
            .collect();
        format!("target.{target}.rustflags=[{}]", flags.join(","))
    }

    /// Folders of this machine that nothing that is released may name.
    pub(crate) fn private_paths(&self) -> [String; 2] {
        [cargo_home(), self.root.clone()].map(|path| path.display().to_string())
    }

    /// The active `rustc` (`RUSTC` wins), run in the repository so that rust-toolchain.toml counts.
    pub(crate) fn rustc(&self) -> Command {
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.current_dir(&self.root);
        command
    }
}

/// Where cargo unpacks the sources of dependencies.
fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    )
}

fn is_set_by_cargo_run(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name == "CARGO" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}
