//! The standard library for `wasm32-unknown-unknown`, in the sysroot of the active compiler.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::{Network, apt, fresh_folder};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

const TARGET: &str = "wasm32-unknown-unknown";
const OLDEST_COMPILER: Version = Version::new(1, 95, 0);
const LONGEST_RUSTUP: Duration = Duration::from_secs(180);
const LONGEST_STD_BUILD: Duration = Duration::from_secs(900);
/// Suites that carry, or once carried, several versions of the compiler's source.
const SOURCE_SUITES: [&str; 4] = ["trixie-backports", "trixie", "forky", "sid"];
/// The empty crate whose build builds std; its own rlib is not used.
const EMPTY_CRATE: &str = "nothing";

/// How to get the wasm standard library if it is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WasmStd {
    /// rustup if it can, else build it from the distribution's source
    #[default]
    Auto,
    /// `rustup target add`
    Rustup,
    /// Build it from the distribution's package rust-src of exactly the compiler's version
    Debian,
}

/// Leaves the sysroot with the target's standard library.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network, way: WasmStd) -> Result<Outcome> {
    let version = compiler_version(workspace)?;
    let rustlib = sysroot(workspace)?.join("lib/rustlib");
    let library = rustlib.join(TARGET).join("lib");
    if has_std(&library) {
        return Ok(Outcome::new(
            "there",
            format!("{TARGET}, in the sysroot of Rust {version}"),
        ));
    }
    ensure!(
        network == Network::Allowed,
        "{TARGET} is not there, and --offline forbids to fetch it; rustup target add {TARGET}"
    );
    let mut failures = Vec::new();
    if way != WasmStd::Debian {
        match by_rustup(workspace, step, &library) {
            Ok(()) => {
                return Ok(Outcome::new(
                    "fetched",
                    format!("{TARGET} for Rust {version}, by rustup"),
                ));
            }
            Err(error) => failures.push(format!("  rustup: {error:#}")),
        }
    }
    if way != WasmStd::Rustup {
        match by_source(workspace, step, version, &rustlib) {
            Ok(detail) => return Ok(Outcome::new("built", detail)),
            Err(error) => failures.push(format!("  the package rust-src: {error:#}")),
        }
    }
    bail!(
        "cannot get the standard library of {TARGET} for Rust {version}. Tried:\n{}",
        failures.join("\n")
    )
}

fn compiler_version(workspace: &Workspace) -> Result<Version> {
    let run = process::ask(workspace.rustc().arg("--version"))?.succeeded(
        "rustc (rust-toolchain.toml names the version; `rustup toolchain install` in the repository gets it, or set \
         RUSTUP_TOOLCHAIN to an installed one that is not older)",
    )?;
    let version =
        Version::of_rustc(&run.stdout).with_context(|| format!("unknown compiler: {}", run.stdout.trim()))?;
    ensure!(
        version >= OLDEST_COMPILER,
        "Rust {version} is active, {OLDEST_COMPILER} or newer is needed"
    );
    Ok(version)
}

fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    let run =
        process::ask(workspace.rustc().args(["--print", "sysroot"]))?.succeeded("rustc --print sysroot")?;
    Ok(PathBuf::from(run.stdout.trim()))
}

fn has_std(library: &Path) -> bool {
    std::fs::read_dir(library).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

fn by_rustup(workspace: &Workspace, step: &Step, library: &Path) -> Result<()> {
    step.now(format!("rustup target add {TARGET}"));
    let mut rustup = Command::new("rustup");
    rustup
        .current_dir(workspace.root())
        .args(["target", "add", TARGET]);
    process::capture(&mut rustup, step, LONGEST_RUSTUP)?.succeeded("rustup target add")?;
    ensure!(
        has_std(library),
        "rustup ended well, but {} has no std",
        library.display()
    );
    Ok(())
}

/// Builds std once from its source and copies the rlibs into the sysroot, so that plain cargo works from then on.
fn by_source(workspace: &Workspace, step: &Step, version: Version, rustlib: &Path) -> Result<String> {
    let place = rustlib.join("src/rust");
    let (built, origin) = if place.join("library/Cargo.lock").is_file() {
        (
            build_std(workspace, step)?,
            "the source in the sysroot".to_owned(),
        )
    } else {
        link_source(&fetch_source(workspace, step, version)?, &place)?;
        let built = build_std(workspace, step);
        // Needed for this build only; left behind, it would dangle after `cargo clean`.
        std::fs::remove_file(&place)?;
        (built?, format!("the package rust-src {version}"))
    };
    let count = install_std(&built, &rustlib.join(TARGET))?;
    prove_std(workspace, step)?;
    remove_leftovers(workspace)?;
    Ok(format!(
        "{TARGET} for Rust {version}, {count} rlibs from {origin}, now in the sysroot"
    ))
}

/// The distribution's source of exactly this compiler, unpacked: the folder that has `library` in it.
fn fetch_source(workspace: &Workspace, step: &Step, version: Version) -> Result<PathBuf> {
    let folder = workspace.tools().join("rust-src").join(version.to_string());
    let source = folder.join("usr/src").join(format!("rustc-{version}"));
    if source.join("library/Cargo.lock").is_file() {
        return Ok(source);
    }
    let mut suites = SOURCE_SUITES.map(str::to_owned).to_vec();
    suites.extend(apt::own_suites().unwrap_or_default());
    suites.dedup();
    let unpacked = fresh_folder(workspace, "rust-src")?;
    apt::PrivateApt::new(workspace)?.unpack(step, "rust-src", &suites, &unpacked, |found| {
        Version::parse(found) == Some(version)
    })?;
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(&unpacked, &folder)?;
    ensure!(
        source.join("library/Cargo.lock").is_file(),
        "the package has no {}",
        source.display()
    );
    Ok(source)
}

fn link_source(source: &Path, place: &Path) -> Result<()> {
    let parent = place.parent().context("the sysroot has no place for sources")?;
    let writable = || format!("cannot write to {}; run this once as its owner", parent.display());
    std::fs::create_dir_all(parent).with_context(writable)?;
    // A link of an earlier setup whose target is gone.
    if place.is_symlink() {
        std::fs::remove_file(place).with_context(writable)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(source, place).with_context(writable)?;
    #[cfg(not(unix))]
    bail!(
        "{} would have to be a link to {}",
        place.display(),
        source.display()
    );
    Ok(())
}

/// Builds std and panic_abort below an empty crate; answers with the folder of the rlibs.
fn build_std(workspace: &Workspace, step: &Step) -> Result<PathBuf> {
    step.now("building the standard library");
    let folder = fresh_folder(workspace, "wasm-std")?;
    std::fs::create_dir(folder.join("src"))?;
    std::fs::write(folder.join("src/lib.rs"), "#![no_std]\n")?;
    let manifest = format!(
        "[package]\nname = \"{EMPTY_CRATE}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest)?;
    let mut cargo = workspace.cargo();
    cargo
        .current_dir(&folder)
        .args([
            "build",
            "--release",
            "-Zbuild-std=std,panic_abort",
            "--target",
            TARGET,
        ])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    process::capture(&mut cargo, step, LONGEST_STD_BUILD)?.succeeded("the build of the standard library")?;
    Ok(folder.join("target").join(TARGET).join("release/deps"))
}

/// Copies the rlibs next to their place, then moves them there in one step.
fn install_std(built: &Path, target_folder: &Path) -> Result<usize> {
    let partial = target_folder.join("lib.partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial)?;
    }
    std::fs::create_dir_all(&partial).with_context(|| {
        format!(
            "cannot write to {}; run this once as its owner",
            target_folder.display()
        )
    })?;
    let own = format!("lib{EMPTY_CRATE}-");
    let mut count = 0;
    for entry in std::fs::read_dir(built)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.ends_with(".rlib") && !name.starts_with(&own) {
            std::fs::copy(&path, partial.join(name))?;
            count += 1;
        }
    }
    ensure!(
        has_std(&partial),
        "the build left no libstd in {}",
        built.display()
    );
    let library = target_folder.join("lib");
    if library.exists() {
        std::fs::remove_dir_all(&library)?;
    }
    std::fs::rename(&partial, &library)?;
    Ok(count)
}

/// Compiles three lines for the target: what plain cargo needs is there.
fn prove_std(workspace: &Workspace, step: &Step) -> Result<()> {
    step.now("compiling a probe");
    let folder = fresh_folder(workspace, "wasm-probe")?;
    let source = folder.join("probe.rs");
    std::fs::write(
        &source,
        "#[unsafe(no_mangle)]\npub extern \"C\" fn probe() -> usize {\n    String::from(\"x\").len()\n}\n",
    )?;
    let mut rustc = workspace.rustc();
    rustc.args([
        "--edition=2024",
        "--crate-type=cdylib",
        "-Cpanic=abort",
        "--target",
        TARGET,
    ]);
    rustc.arg("--out-dir").arg(&folder).arg(&source);
    process::capture(&mut rustc, step, LONGEST_RUSTUP)?.succeeded("compiling for wasm")?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// The source and the build folder are large and not needed any more.
fn remove_leftovers(workspace: &Workspace) -> Result<()> {
    for folder in ["rust-src", ".fetch/wasm-std"] {
        let folder = workspace.tools().join(folder);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}
