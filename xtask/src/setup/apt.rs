//! Packages of the distribution, downloaded and unpacked without installing them.
//!
//! The mirror's address and its keys come from the machine's own apt sources. Lists, cache and configuration are
//! private (under target/tools/apt), so that the machine's apt stays exactly as it is.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{fresh_folder, only_file};
use crate::process;
use crate::terminal::Step;
use crate::workspace::Workspace;

#[cfg(test)]
mod tests;

const LONGEST_DOWNLOAD: Duration = Duration::from_secs(300);

/// An archive that the machine trusts: its address, and the key file named next to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    pub(super) address: String,
    pub(super) signed_by: Option<String>,
}

/// The distribution's own suites, newest first: `CODENAME-backports`, `CODENAME`.
pub(super) fn own_suites() -> Result<Vec<String>> {
    let release =
        std::fs::read_to_string("/etc/os-release").context("this machine has no /etc/os-release")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release names no VERSION_CODENAME")?
        .trim_matches('"');
    Ok(vec![format!("{codename}-backports"), codename.to_owned()])
}

/// apt with a state of its own.
#[derive(Debug)]
pub(super) struct PrivateApt<'a> {
    workspace: &'a Workspace,
    folder: PathBuf,
    mirrors: Vec<Mirror>,
}

impl<'a> PrivateApt<'a> {
    /// Reads the machine's sources and writes a private configuration.
    ///
    /// # Errors
    /// When the machine has no apt, or its sources name no mirror.
    pub(super) fn new(workspace: &'a Workspace) -> Result<Self> {
        let mirrors = machine_mirrors();
        ensure!(!mirrors.is_empty(), "this machine's apt names no mirror");
        let folder = workspace.tools().join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let dump = process::ask(Command::new("apt-config").arg("dump"))?
            .succeeded("apt-config dump")?
            .stdout;
        std::fs::write(folder.join("apt.conf"), private_configuration(&dump, &folder))?;
        Ok(Self {
            workspace,
            folder,
            mirrors,
        })
    }

    /// Unpacks the newest version of `package` from the first of `suites` that has it.
    pub(super) fn unpack_newest(
        &self,
        step: &Step,
        package: &str,
        suites: &[String],
        into: &Path,
    ) -> Result<()> {
        self.unpack(step, package, suites, into, |_| true)
    }

    /// Unpacks the newest version of `package` that `accept` returns true for (its argument is the whole version text).
    pub(super) fn unpack(
        &self,
        step: &Step,
        package: &str,
        suites: &[String],
        into: &Path,
        accept: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let mut failures = Vec::new();
        for mirror in &self.mirrors {
            for suite in suites {
                step.now(format!("looking for {package} in {suite}"));
                match self.find_version(step, mirror, suite, package, &accept) {
                    Ok(Some(version)) => return self.download(step, package, &version, into),
                    Ok(None) => failures.push(format!("{suite} has no {package} that fits")),
                    Err(error) => failures.push(format!("{suite}: {error:#}")),
                }
            }
        }
        bail!("{}", failures.join("; "))
    }

    fn find_version(
        &self,
        step: &Step,
        mirror: &Mirror,
        suite: &str,
        package: &str,
        accept: &impl Fn(&str) -> bool,
    ) -> Result<Option<String>> {
        let key = mirror
            .signed_by
            .as_ref()
            .map_or_else(String::new, |key| format!("[signed-by={key}] "));
        let source = format!("deb {key}{} {suite} main\n", mirror.address);
        std::fs::write(self.folder.join("sources.list"), source)?;
        let update = process::capture(self.apt("apt-get").arg("update"), step, LONGEST_DOWNLOAD)?;
        update.succeeded("apt-get update")?;
        let listed = process::ask(self.apt("apt-cache").args(["madison", package]))?
            .succeeded("apt-cache")?
            .stdout;
        Ok(versions_in_madison(&listed)
            .into_iter()
            .find(|version| accept(version)))
    }

    fn download(&self, step: &Step, package: &str, version: &str, into: &Path) -> Result<()> {
        step.now(format!("downloading {package} {version}"));
        let folder = fresh_folder(self.workspace, "deb")?;
        let mut download = self.apt("apt-get");
        download
            .arg("download")
            .arg(format!("{package}={version}"))
            .current_dir(&folder);
        process::capture(&mut download, step, LONGEST_DOWNLOAD)?.succeeded("apt-get download")?;
        let package_file = only_file(&folder, "deb")?;
        step.now(format!("unpacking {package} {version}"));
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(&package_file).arg(into);
        process::capture(&mut unpack, step, LONGEST_DOWNLOAD)?.succeeded("dpkg-deb")?;
        Ok(std::fs::remove_dir_all(folder)?)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.folder.join("apt.conf"))
            .env("LC_ALL", "C");
        command
    }
}

/// The machine's network settings (proxies, certificates), and nothing else of its configuration: no hooks.
fn private_configuration(dump: &str, folder: &Path) -> String {
    let mut configuration = String::new();
    for line in dump.lines().filter(|line| line.starts_with("Acquire::")) {
        configuration.push_str(line);
        configuration.push('\n');
    }
    let folder = folder.display();
    write!(
        configuration,
        "Dir::Etc::Parts \"/dev/null\";\nDir::Etc::Main \"/dev/null\";\nDir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::SourceList \"{folder}/sources.list\";\nDir::State::Lists \"{folder}/lists\";\n\
         Dir::Cache \"{folder}/cache\";\nDir::Cache::PkgCache \"\";\nDir::Cache::SrcPkgCache \"\";\nAPT::Sandbox::User \"\";\n"
    )
    .expect("writing to a string cannot fail");
    configuration
}

/// Newest first, as apt prints them: `package | version | mirror suite/component arch Packages`.
fn versions_in_madison(listed: &str) -> Vec<String> {
    listed
        .lines()
        .filter(|line| !line.ends_with("Sources"))
        .filter_map(|line| line.split('|').nth(1))
        .map(|version| version.trim().to_owned())
        .collect()
}

fn machine_mirrors() -> Vec<Mirror> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    let mut mirrors: Vec<Mirror> = Vec::new();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        let found = match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => mirrors_in_paragraphs(&text),
            Some("list") => mirrors_in_lines(&text),
            _ => continue,
        };
        for mirror in found {
            if !mirrors.iter().any(|known| known.address == mirror.address) {
                mirrors.push(mirror);
            }
        }
    }
    mirrors
}

/// The one-line form: `deb [option=value …] address suite component …`.
fn mirrors_in_lines(text: &str) -> Vec<Mirror> {
    let mut mirrors = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else {
            continue;
        };
        let (options, rest) = match rest
            .trim_start()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let Some(address) = words.next() else { continue };
        if !words.skip(1).any(|component| component == "main") {
            continue;
        }
        let key = options
            .split_whitespace()
            .find_map(|option| option.strip_prefix("signed-by="));
        mirrors.push(Mirror {
            address: address.to_owned(),
            signed_by: key.map(str::to_owned),
        });
    }
    mirrors
}

/// The paragraph form (deb822): `Types`, `URIs`, `Suites`, `Components`, `Signed-By`, `Enabled`.
fn mirrors_in_paragraphs(text: &str) -> Vec<Mirror> {
    let mut mirrors = Vec::new();
    let without_comments: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::trim_end)
        .collect();
    for paragraph in without_comments.split(|line| line.is_empty()) {
        let field = |name: &str| {
            paragraph.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let has = |name: &str, word: &str| {
            field(name).is_some_and(|value| value.split_whitespace().any(|w| w == word))
        };
        if !has("Types", "deb") || !has("Components", "main") || has("Enabled", "no") {
            continue;
        }
        // A key that is written out in the paragraph is no file; apt's trusted keys apply then.
        let key = field("Signed-By")
            .filter(|key| key.starts_with('/'))
            .map(str::to_owned);
        for address in field("URIs").unwrap_or_default().split_whitespace() {
            mirrors.push(Mirror {
                address: address.to_owned(),
                signed_by: key.clone(),
            });
        }
    }
    mirrors
}
