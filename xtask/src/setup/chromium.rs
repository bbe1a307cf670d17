//! A real browser for the tests of the login's pages: Debian's Chromium with the program that drives it.
//!
//! A browser has a hundred libraries, so it is installed and not unpacked beside the other parts: by the machine's own apt
//! where this runs as root, as in a container; elsewhere the command is printed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::Network;
use crate::process;
use crate::terminal::{Outcome, Step};

const LONGEST_INSTALLATION: Duration = Duration::from_secs(900);
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-liberation"];
const LEFT_OUT: &str = "the tests in a real browser are left out";

/// Looks for the browser and its driver on PATH, and installs them where it may.
pub(super) fn provide(step: &Step, network: Network) -> Result<Outcome> {
    if let Some(there) = installed() {
        return Ok(Outcome::new("there", there));
    }
    let install = format!("apt-get install {}", PACKAGES.join(" "));
    if network == Network::Forbidden {
        return Ok(Outcome::skipped(format!(
            "not installed, and --offline forbids to fetch it; {LEFT_OUT}"
        )));
    }
    if !may_install() {
        return Ok(Outcome::skipped(format!("run `{install}` as root; {LEFT_OUT}")));
    }
    step.now(install.clone());
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--yes", "--no-install-recommends"])
        .args(PACKAGES)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let run = process::capture(&mut apt, step, LONGEST_INSTALLATION);
    let failure = run.and_then(|run| run.succeeded("apt-get")).err();
    Ok(match (installed(), failure) {
        (Some(there), _) => Outcome::new("fetched", format!("{there}, by apt-get")),
        (None, failure) => {
            let why = failure.map_or_else(String::new, |error| format!(" ({error:#})"));
            let why: String = why.split_whitespace().collect::<Vec<_>>().join(" ");
            let why: String = why.chars().take(160).collect();
            Outcome::skipped(format!("`{install}` left no browser {why}; {LEFT_OUT}"))
        }
    })
}

/// The browser's version, where its driver is there too.
fn installed() -> Option<String> {
    let browser = program("CHROMIUM_BIN", "chromium")?;
    let driver = program("CHROMEDRIVER_BIN", "chromedriver")?;
    let version = |program: &Path| {
        let run = process::ask(Command::new(program).arg("--version")).ok()?;
        let mut words = run.stdout.split_whitespace().map(str::to_owned);
        words.find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
    };
    let (browser_version, driver_version) = (version(&browser)?, version(&driver)?);
    Some(format!(
        "{browser_version}, {}, driver {driver_version}",
        browser.display()
    ))
}

fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    given.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
    })
}

/// Root, on a machine with apt.
fn may_install() -> bool {
    let is_root = process::ask(Command::new("id").arg("-u")).is_ok_and(|run| run.stdout.trim() == "0");
    is_root && process::ask(Command::new("apt-get").arg("--version")).is_ok()
}
