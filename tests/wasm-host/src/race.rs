//! Races placed exactly: one VM is stopped before a chosen host call while something else happens.

use super::recording::Thread;

/// What runs in between.
pub(crate) type Interlude = Box<dyn FnOnce()>;

/// The interludes that wait for their moment.
#[derive(Default)]
pub(crate) struct Races {
    waiting: Vec<Waiting>,
}

struct Waiting {
    thread: Thread,
    function: &'static str,
    calls_left: usize,
    interlude: Interlude,
}

impl Races {
    /// Runs `interlude` when the VM on `thread` makes its `nth` (1 is the next) call of `function`, before that
    /// call takes effect.
    pub(crate) fn place(&mut self, thread: Thread, function: &'static str, nth: usize, interlude: Interlude) {
        assert!(nth > 0, "the first call is number 1");
        self.waiting.push(Waiting {
            thread,
            function,
            calls_left: nth,
            interlude,
        });
    }

    /// Counts one call and takes out what has to run before it.
    pub(crate) fn due(&mut self, thread: Thread, function: &str) -> Vec<Interlude> {
        let mut due = Vec::new();
        for mut waiting in std::mem::take(&mut self.waiting) {
            if waiting.thread == thread && waiting.function == function {
                waiting.calls_left -= 1;
            }
            if waiting.calls_left == 0 {
                due.push(waiting.interlude);
            } else {
                self.waiting.push(waiting);
            }
        }
        due
    }

    /// How many interludes never had their moment: a race test asserts 0.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
