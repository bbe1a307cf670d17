//! Keycloak, for `cargo xtask issuers`: the distribution that its project publishes for Maven, unpacked and built with the
//! options of the tests, where there are Java and Maven.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Network, fresh_folder};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::version::Version;
use crate::workspace::Workspace;

const VERSION: &str = "26.5.6";
const DISTRIBUTION: &str = "org.keycloak:keycloak-quarkus-dist";
/// Maven's plugin that unpacks an artifact of a repository; Maven's own configuration states which repository that is.
const UNPACK: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack";
const OLDEST_JAVA: Version = Version::new(17, 0, 0);
/// 165 MB over a slow network.
const LONGEST_FETCH: Duration = Duration::from_secs(900);
/// 6 s on an idle machine.
const LONGEST_BUILD: Duration = Duration::from_secs(300);
/// A database in memory, and both ways in which Keycloak takes tokens of another realm.
const OPTIONS: [&str; 2] = [
    "--db=dev-mem",
    "--features=jwt-authorization-grant,token-exchange-external-internal",
];
/// As the harness starts it: the build must find the same collector.
const JAVA_OPTIONS: &str = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1";
const LEFT_OUT: &str = "the stories on a real Keycloak are left out";
/// Written last, so that an interrupted setup leaves none.
const MARK: &str = "installed-from";

/// Leaves Keycloak in target/tools/keycloak; without Java and Maven it is left out.
///
/// # Errors
/// When target/tools cannot be read or written. A failed fetch or build is reported.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let own = workspace.tools().join("keycloak");
    let Some(java) = java_version() else {
        return Ok(Outcome::skipped(format!("no Java ≥ 17 on PATH; {LEFT_OUT}")));
    };
    if is_installed(&own) {
        let detail = format!("{VERSION}, {}, Java {java}", workspace.shown(&own));
        return Ok(Outcome::new("there", detail));
    }
    if network == Network::Forbidden {
        let why = "it is not installed, and --offline forbids to fetch it";
        return Ok(Outcome::skipped(format!("{why}; {LEFT_OUT}")));
    }
    if process::ask(Command::new("mvn").arg("--version")).is_err() {
        return Ok(Outcome::skipped(format!("no Maven (mvn) on PATH; {LEFT_OUT}")));
    }
    match install(workspace, step, &own) {
        Ok(()) => {
            let detail = format!("{VERSION}, {} by Maven, Java {java}", workspace.shown(&own));
            Ok(Outcome::new("fetched", detail))
        }
        // Everything but the stories on it works without it, and a machine with Maven need not reach a repository.
        Err(error) => {
            let why = format!("{error:#}");
            let why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
            let why: String = why.chars().take(160).collect();
            Ok(Outcome::skipped(format!(
                "Maven could not install it ({why}); {LEFT_OUT}"
            )))
        }
    }
}

/// Whether Keycloak is installed, so that no story on it may be left out.
pub(crate) fn is_there(workspace: &Workspace) -> bool {
    java_version().is_some() && is_installed(&workspace.tools().join("keycloak"))
}

/// `openjdk version "17.0.15" 2025-04-15` → 17.0.15.
fn java_version() -> Option<Version> {
    let run = process::ask(Command::new("java").arg("-version")).ok()?;
    read_java_version(&format!("{}{}", run.stderr, run.stdout))
}

/// The version in quotes, of which everything but the first number may be absent; `None` for one that is too old.
fn read_java_version(printed: &str) -> Option<Version> {
    let quoted = printed.split('"').nth(1)?;
    let numbers = quoted.split(['.', '_', '-', '+']);
    let mut numbers = numbers.map_while(|number| number.parse().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let version = Version::new(next(), next(), next());
    (version >= OLDEST_JAVA).then_some(version)
}

/// What an installation is of.
fn mark() -> String {
    format!("{DISTRIBUTION}:{VERSION} {}", OPTIONS.join(" "))
}

fn is_installed(own: &Path) -> bool {
    std::fs::read_to_string(own.join(MARK)).is_ok_and(|mark_there| mark_there == mark())
}

fn install(workspace: &Workspace, step: &Step, own: &Path) -> Result<()> {
    let folder = fresh_folder(workspace, "keycloak")?;
    step.now(format!("Maven: {DISTRIBUTION} {VERSION}, 165 MB"));
    let mut maven = Command::new("mvn");
    maven
        // No project of a folder above may be taken for its own.
        .current_dir(&folder)
        .args(["-q", "-B", UNPACK])
        .arg(format!("-Dartifact={DISTRIBUTION}:{VERSION}:zip"))
        .arg(format!("-DoutputDirectory={}", folder.display()));
    process::capture(&mut maven, step, LONGEST_FETCH)?.succeeded("mvn")?;
    let unpacked = folder.join(format!("keycloak-{VERSION}"));
    build(step, &unpacked)?;
    std::fs::write(unpacked.join(MARK), mark())?;
    if own.exists() {
        std::fs::remove_dir_all(own).with_context(|| format!("cannot empty {}", own.display()))?;
    }
    std::fs::rename(&unpacked, own).with_context(|| format!("cannot move it to {}", own.display()))?;
    Ok(std::fs::remove_dir_all(folder)?)
}

/// Keycloak's own build step: a start with these options needs no other.
fn build(step: &Step, unpacked: &Path) -> Result<()> {
    let script: PathBuf = unpacked.join("bin/kc.sh");
    ensure!(script.is_file(), "Maven left no {}", script.display());
    step.now("kc.sh build");
    let mut keycloak = Command::new("sh");
    keycloak
        .arg(script)
        .arg("build")
        .args(OPTIONS)
        .env("JAVA_OPTS", JAVA_OPTIONS);
    process::capture(&mut keycloak, step, LONGEST_BUILD)?.succeeded("kc.sh build")?;
    Ok(())
}
