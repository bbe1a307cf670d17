//! Versions as tools print them.

use std::fmt;

#[cfg(test)]
mod tests;

/// `major.minor.patch`, compared in this order; what follows (`-rc1`, `+build`) is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `1.95.0`, `8.1` (patch 0) or `1.40.0-dev`; anything else is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut parts = text[..end].split('.').map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        let minor = parts.next()?.ok()?;
        let patch = parts.next().map_or(Ok(0), |part| part).ok()?;
        parts.next().is_none().then_some(Self { major, minor, patch })
    }

    /// `rustc 1.95.0 (59807616e 2026-04-14)` → 1.95.0.
    pub(crate) fn of_rustc(output: &str) -> Option<Self> {
        Self::parse(output.trim().strip_prefix("rustc ")?)
    }

    /// `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL` → 1.40.0.
    pub(crate) fn of_envoy(output: &str) -> Option<Self> {
        let line = output.lines().find_map(|line| line.split_once("version:"))?.1;
        Self::parse(line.trim().split('/').nth(1)?)
    }

    /// `go version go1.26.8 linux/amd64` → 1.26.8.
    pub(crate) fn of_go(output: &str) -> Option<Self> {
        let version = output.trim().strip_prefix("go version go")?;
        Self::parse(version.split_whitespace().next()?)
    }

    /// `etcd Version: 3.4.23` and more lines → 3.4.23.
    pub(crate) fn of_etcd(output: &str) -> Option<Self> {
        let line = output
            .lines()
            .find_map(|line| line.trim().strip_prefix("etcd Version: "))?;
        Self::parse(line.trim())
    }

    /// `v20.20.2` → 20.20.2.
    pub(crate) fn of_node(output: &str) -> Option<Self> {
        Self::parse(output.trim().strip_prefix('v')?)
    }

    /// `Python 3.11.7` → 3.11.7.
    pub(crate) fn of_python(output: &str) -> Option<Self> {
        Self::parse(output.trim().strip_prefix("Python ")?)
    }

    /// `Server v=8.1.0 sha=…` and `Valkey server v=8.0.1 sha=…` → the version after `v=`.
    pub(crate) fn of_valkey(output: &str) -> Option<Self> {
        Self::parse(
            output
                .split_whitespace()
                .find_map(|word| word.strip_prefix("v="))?,
        )
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
