//! The commands of `docs/install.md`.

use std::process::Command;

use anyhow::{Context as _, ensure};
pub(crate) use tokenward_tests::pages::{blocks, document};

/// The command of a `console` block of the installation page that contains all of `parts`, on one line.
pub(crate) fn console_command(parts: &[&str]) -> anyhow::Result<String> {
    let joined = blocks("docs/install.md", "console")?
        .concat()
        .replace("\\\n", " ");
    let found = joined
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .find(|command| parts.iter().all(|part| command.contains(part)));
    Ok(found
        .with_context(|| format!("no command with {parts:?}"))?
        .to_owned())
}

/// The commands of the `console` blocks between two headings of the installation page, each on one line.
pub(crate) fn commands_between(begin: &str, end: &str) -> anyhow::Result<Vec<String>> {
    let page = document("docs/install.md")?;
    let (_, rest) = page.split_once(begin).with_context(|| format!("no {begin}"))?;
    let (section, _) = rest.split_once(end).with_context(|| format!("no {end}"))?;
    let lines = section.replace("\\\n", " ");
    Ok(lines
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .map(str::to_owned)
        .collect())
}

/// What a command of the page prints here, with names of the page replaced by those of this machine; each must occur.
pub(crate) fn run(command: &str, replaced: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = command.to_owned();
    for (name, here) in replaced {
        ensure!(command.contains(name), "{command:?} lacks {name}");
        command = command.replace(name, here);
    }
    let run = Command::new("sh").args(["-c", &command]).output()?;
    Ok(String::from_utf8(run.stdout)?)
}
