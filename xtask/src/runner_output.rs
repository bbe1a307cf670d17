//! How many tests ran, read from what the test runner printed.

#[cfg(test)]
mod tests;

/// Counts over all test binaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl TestCounts {
    /// Sums every summary line in `output` (of libtest and of cargo-nextest); none if there is no such line.
    pub(crate) fn read(output: &str) -> Option<Self> {
        output
            .lines()
            .filter_map(|line| Self::of_line(&without_escapes(line)))
            .reduce(|sum, counts| Self {
                passed: sum.passed + counts.passed,
                failed: sum.failed + counts.failed,
            })
    }

    /// libtest: `test result: ok. 3 passed; 0 failed; …`; nextest: `Summary [ 0.5s] 4 tests run: 3 passed, 1 failed, …`.
    fn of_line(line: &str) -> Option<Self> {
        let line = line.trim();
        let tail = if let Some(tail) = line.strip_prefix("test result: ") {
            tail.split_once(". ")?.1
        } else {
            line.strip_prefix("Summary [")?.split_once("run: ")?.1
        };
        let mut counts = Self::default();
        for part in tail.split([';', ',']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(word)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match word {
                "passed" => counts.passed += number,
                "failed" | "timed" => counts.failed += number,
                _ => {}
            }
        }
        Some(counts)
    }
}

/// The line without terminal colours (CSI sequences).
fn without_escapes(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}
