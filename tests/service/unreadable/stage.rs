//! A deployment on either engine, and records in its store that no replica can read.

use tokenward_control::digest;
use tokenward_control::store::{Entry, Expected, Key, Store, WriteOutcome};
use tokenward_control::upstream::grant::record::GrantKey;

use crate::deployment::{ADMIN, Answer, Deployment, Plan};
use crate::secrecy::Captured;

/// What this version would not have written, and no newer one either.
pub(super) const GARBLED: [&[u8]; 5] = [
    b"",
    b"\x00",
    // Of an older version, and of this one but of another kind.
    b"\x01older",
    b"\x02another kind",
    b"{\"as\": \"text\"}",
];
/// What the next version may write.
pub(super) const NEWER: &[u8] = b"\x05of the next version";

pub(super) const UNKNOWN: (u16, &str) = (400, "unknown_session");
pub(super) const AWAY: (u16, &str) = (503, "store_unavailable");

/// A deployment with one login, put as `s-1`.
pub(super) async fn on(valkey: bool) -> anyhow::Result<Deployment> {
    Deployment::start(Plan {
        valkey,
        ..Plan::default()
    })
    .await
}

/// Where the one user's grant is.
pub(super) fn grant_of(deployment: &Deployment) -> Key {
    GrantKey::new(deployment.dex.issuer(), "muster", &deployment.dex.subject(ADMIN)).record()
}

/// Where the session `id` is.
pub(super) fn session_of(id: &str) -> Key {
    Key::new("session", &digest::hex_of_parts(&["session", id]))
}

pub(super) async fn lying_at(deployment: &Deployment, key: &Key) -> anyhow::Result<Entry> {
    let entry = deployment.store().read(key).await?;
    entry.ok_or_else(|| anyhow::anyhow!("nothing lies at {key}"))
}

/// Puts `bytes` in place of the record that is there.
pub(super) async fn plant(deployment: &Deployment, key: &Key, bytes: &[u8]) -> anyhow::Result<Entry> {
    let before = lying_at(deployment, key).await?;
    let at = Expected::At(before.revision);
    match deployment.store().write(key, at, bytes, None).await? {
        WriteOutcome::Done(_) => lying_at(deployment, key).await,
        conflict => anyhow::bail!("not written: {conflict:?}"),
    }
}

/// The answer to a question about the session `id`.
pub(super) async fn asked(deployment: &Deployment, token: &str, id: &str) -> anyhow::Result<Answer> {
    deployment.ask(token).session(id).send().await
}

/// How many warnings contain `what`.
pub(super) fn warnings(captured: &Captured, what: &str) -> usize {
    let text = captured.text();
    let lines = text.lines().filter(|line| line.contains(" WARN "));
    lines.filter(|line| line.contains(what)).count()
}
