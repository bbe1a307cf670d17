//! What a filter learns from control: sign-outs in order, and the list of servers under a version that only grows.

mod endpoint;
mod log;
mod rejected_keys;
mod servers;
mod sign_outs;

use serde_json::Value;
use tokenward_protocol::filter_state::{EndedDigest, FilterState, SignOut};

use crate::deployment::{Deployment, FILTER};

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Learned {
    pub(crate) version: u64,
    pub(crate) has_more: bool,
    /// Version and JSON.
    pub(crate) servers: Option<(u64, Value)>,
    pub(crate) sign_outs: Vec<SignOut>,
}

/// The answer of `replica` to a filter that has the log up to `after` and the list of servers `servers`.
pub(crate) async fn ask<R, I>(
    deployment: &Deployment<R, I>,
    replica: usize,
    after: u64,
    servers: u64,
) -> anyhow::Result<Learned> {
    let url = format!(
        "{}/filter/state?after={after}&servers={servers}",
        deployment.urls[replica]
    );
    let answer = deployment.http.get(url).bearer_auth(FILTER).send().await?;
    let status = answer.status();
    anyhow::ensure!(
        answer.headers().contains_key("x-tokenward-control"),
        "no marker: {status}"
    );
    let bytes = answer.bytes().await?;
    anyhow::ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&bytes));
    let state = FilterState::decode(&bytes)?;
    let servers = state
        .servers
        .map(|list| anyhow::Ok((list.version, serde_json::from_slice(list.json)?)));
    Ok(Learned {
        version: state.version,
        has_more: state.has_more,
        servers: servers.transpose()?,
        sign_outs: state.sign_outs,
    })
}

/// A filter that has the log up to some position, and says what it learned since.
pub(crate) struct Follower {
    version: u64,
}

impl Follower {
    /// It has everything so far.
    pub(crate) async fn of(deployment: &Deployment) -> anyhow::Result<Self> {
        Ok(Self {
            version: ask(deployment, 0, 0, u64::MAX).await?.version,
        })
    }

    /// What ended since it asked last: digest and last second, sorted.
    pub(crate) async fn learns(
        &mut self,
        deployment: &Deployment,
    ) -> anyhow::Result<Vec<(EndedDigest, u32)>> {
        let learned = ask(deployment, 0, self.version, u64::MAX).await?;
        anyhow::ensure!(
            learned.version >= self.version,
            "{learned:?} after {}",
            self.version
        );
        self.version = learned.version;
        Ok(sorted(
            learned
                .sign_outs
                .into_iter()
                .map(|entry| (entry.ended, entry.last_second)),
        ))
    }
}

pub(crate) fn sorted(entries: impl IntoIterator<Item = (EndedDigest, u32)>) -> Vec<(EndedDigest, u32)> {
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_unstable();
    entries
}

/// The deployment's time in seconds.
pub(crate) fn now(deployment: &Deployment) -> u32 {
    let seconds = deployment.clock().now_ms() / 1000;
    u32::try_from(seconds).expect("a time of this century")
}
