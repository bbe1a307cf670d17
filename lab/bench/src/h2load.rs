//! A second load generator, by others: h2load of nghttp2, over HTTP/1.1. It sends an exact number of requests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::load::Done;
use tokenward_harness::parts::tools;

#[cfg(test)]
mod tests;

/// The program.
#[derive(Debug, Clone)]
pub(super) struct H2load {
    program: PathBuf,
    /// As it prints it.
    pub(super) version: String,
}

/// What it prints about a run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Said {
    per_second: f64,
    /// Answers with 2xx, 3xx, 4xx and 5xx.
    by_class: [u64; 4],
}

impl H2load {
    /// The program, where there is one that runs.
    ///
    /// # Errors
    /// When `H2LOAD_BIN` names nothing.
    pub(super) fn find() -> anyhow::Result<Option<Self>> {
        let Some(program) = tools::h2load()? else {
            return Ok(None);
        };
        let run = std::process::Command::new(&program).arg("--version").output();
        let Some(run) = run.ok().filter(|run| run.status.success()) else {
            return Ok(None);
        };
        let version = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        Ok(Some(Self { program, version }))
    }

    /// Sends so many requests over so many connections, the next on each as soon as the answer is there.
    ///
    /// # Errors
    /// When an answer has a status of another class than `status`.
    pub(super) async fn run(
        &self,
        url: (SocketAddr, &str),
        headers: &[(&str, String)],
        connections: usize,
        requests: u64,
        status: u16,
    ) -> anyhow::Result<Done> {
        let (address, path) = url;
        let mut command = Command::new(&self.program);
        command.args(["--h1", "--threads=1", &format!("--clients={connections}")]);
        command.arg(format!("--requests={requests}"));
        for (name, value) in headers {
            // It writes a host of its own, unless it is given as HTTP/2 has it.
            let name = if *name == "host" { ":authority" } else { name };
            command.arg("--header").arg(format!("{name}: {value}"));
        }
        let run = command
            .arg(format!("http://{address}{path}"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run h2load")?;
        let text = String::from_utf8_lossy(&run.stdout);
        let said = read(&text).with_context(|| format!("h2load said:\n{text}"))?;
        let class = usize::from(status / 100).saturating_sub(2);
        let answered = said.by_class.get(class).copied().unwrap_or_default();
        ensure!(
            answered == requests && said.by_class.iter().sum::<u64>() == requests,
            "{:?} answers (2xx, 3xx, 4xx, 5xx) to {requests} requests that are answered {status}",
            said.by_class
        );
        Ok(Done {
            requests,
            seconds: requests as f64 / said.per_second,
        })
    }
}

/// `finished in 254.12ms, 7870.25 req/s, …` and `status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx`.
fn read(text: &str) -> Option<Said> {
    let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let (_, rate) = line("finished in ")?.split_once(", ")?;
    let per_second = rate.split_once(" req/s")?.0.parse().ok()?;
    let mut by_class = [0; 4];
    let mut counts = line("status codes: ")?.split(", ");
    for count in &mut by_class {
        *count = counts.next()?.split_once(' ')?.0.parse().ok()?;
    }
    Some(Said { per_second, by_class })
}
