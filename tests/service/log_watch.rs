//! The watch over this process's log that fails other tests.

use tokenward_harness::secrets;

use crate::deployment::LogWatch;

#[tokio::test]
async fn what_is_logged_is_really_searched() {
    let watch = LogWatch::start();
    let secret = "a-secret-of-this-test-alone-0123456789";
    secrets::note(secret);
    let count = || LogWatch::leaks(|line| line.contains(LogWatch::ON_PURPOSE)).len();
    tracing::debug!(target: LogWatch::ON_PURPOSE, "nothing of it");
    assert_eq!(count(), 0);
    tracing::debug!(target: LogWatch::ON_PURPOSE, part = &secret[3..], "a part of it");
    assert_eq!(count(), 1);
    // The leak is there, and the other tests of this process still pass.
    drop(watch);
}
