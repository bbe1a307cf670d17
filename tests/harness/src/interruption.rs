//! How a person, a terminal or a supervisor ends a program of this crate.

use tokio::signal::unix::{SignalKind, signal};

/// Returns on Ctrl-C, when the terminal is closed, or on a polite request to end.
///
/// # Errors
/// When the signals cannot be listened for.
pub async fn interruption() -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = hang_up.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
