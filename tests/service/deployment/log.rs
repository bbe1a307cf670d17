//! Everything that is logged in this process, by control and by what it is built on, searched for secrets as it comes.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tokenward_harness::secrets;

/// As far as an operator can turn it up without asking for the libraries' own trace.
const LEVELS: &str = "debug,tokenward_control=trace";
/// Of a line that leaks: when, how loud, who.
const SHOWN_CHARACTERS: usize = 60;

/// The one test that leaks on purpose does it under this name; no other test is held to it.
const ON_PURPOSE: &str = "searched_for";

static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Searched;

impl Write for Searched {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        if secrets::are_in(&text) {
            let beginning = text.chars().take(SHOWN_CHARACTERS).collect();
            LEAKS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(beginning);
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fails the test that holds it, at its end, when a token or secret has been logged.
pub(super) struct Watch;

impl Watch {
    pub(super) fn start() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let logging = tracing_subscriber::fmt()
                .with_env_filter(LEVELS)
                .with_ansi(false)
                .with_writer(|| Searched)
                .try_init();
            assert!(
                logging.is_ok(),
                "somebody else listens to the log: nothing would be searched"
            );
        });
        Self
    }
}

/// The leaks so far that satisfy `predicate`.
fn leaks(predicate: impl Fn(&str) -> bool) -> Vec<String> {
    let leaks = LEAKS.lock().unwrap_or_else(PoisonError::into_inner);
    leaks.iter().filter(|line| predicate(line)).cloned().collect()
}

impl Drop for Watch {
    fn drop(&mut self) {
        let leaks: Vec<String> = leaks(|line| !line.contains(ON_PURPOSE));
        // A second panic would end the whole test run.
        if !leaks.is_empty() && !std::thread::panicking() {
            panic!("lines with tokens or secrets in them: {leaks:#?}");
        }
    }
}

#[tokio::test]
async fn what_is_logged_is_really_searched() {
    let watch = Watch::start();
    let secret = "a-secret-of-this-test-alone-0123456789";
    secrets::note(secret);
    let count = || leaks(|line| line.contains(ON_PURPOSE)).len();
    tracing::debug!(target: ON_PURPOSE, "nothing of it");
    assert_eq!(count(), 0);
    tracing::debug!(target: ON_PURPOSE, part = &secret[3..], "a part of it");
    assert_eq!(count(), 1);
    // While that stands there, other tests of this process end well.
    drop(watch);
}
