//! Searches every event logged in this process, by control and by the libraries under it, for secrets.

use std::io::{self, Write};
use std::sync::{Mutex, Once, PoisonError};

use tokenward_harness::secrets;

/// The most that an operator can turn on without the libraries' own traces. `thirtyfour` drives the browser of a test and is no
/// part of control: it logs the pages that it types into.
const LEVELS: &str = "debug,tokenward_control=trace,thirtyfour=off";
/// Characters shown of a line that leaks: its time, level and target.
const SHOWN_CHARACTERS: usize = 60;

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

/// Fails the test that holds it, when it is dropped after a token or secret was logged in this process.
pub struct LogWatch;

impl LogWatch {
    /// The target of the one test that leaks on purpose; no other test fails for its lines.
    pub const ON_PURPOSE: &str = "searched_for";

    /// Watches from the first call on, until the process ends.
    ///
    /// # Panics
    /// When the process has another subscriber: nothing would be searched.
    pub fn start() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let logging = tracing_subscriber::fmt()
                .with_env_filter(LEVELS)
                .with_ansi(false)
                .with_writer(|| Searched)
                .try_init();
            assert!(
                logging.is_ok(),
                "there is another subscriber: nothing would be searched"
            );
        });
        Self
    }

    /// The leaks so far that satisfy `predicate`.
    pub fn leaks(predicate: impl Fn(&str) -> bool) -> Vec<String> {
        let leaks = LEAKS.lock().unwrap_or_else(PoisonError::into_inner);
        leaks.iter().filter(|line| predicate(line)).cloned().collect()
    }
}

impl Drop for LogWatch {
    fn drop(&mut self) {
        let leaks: Vec<String> = Self::leaks(|line| !line.contains(Self::ON_PURPOSE));
        // A second panic would end the whole test run.
        if !leaks.is_empty() && !std::thread::panicking() {
            panic!("lines with tokens or secrets in them: {leaks:#?}");
        }
    }
}
