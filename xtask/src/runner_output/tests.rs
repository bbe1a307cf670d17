use super::TestCounts;

#[test]
fn the_binaries_of_cargo_test_are_summed() {
    let output = "\
running 3 tests
test a ... ok
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
     Running gateway/main.rs
test result: FAILED. 40 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 9.10s
";
    assert_eq!(
        TestCounts::read(output),
        Some(TestCounts {
            passed: 43,
            failed: 2
        })
    );
}

#[test]
fn the_summary_of_nextest_is_read_and_a_timeout_is_a_failure() {
    let output = "     Summary [   2.5s] 12 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
    assert_eq!(
        TestCounts::read(output),
        Some(TestCounts { passed: 9, failed: 3 })
    );
    let cancelled = "     Summary [   0.1s] 2/12 tests run: 1 passed, 1 failed, 0 skipped";
    assert_eq!(
        TestCounts::read(cancelled),
        Some(TestCounts { passed: 1, failed: 1 })
    );
}

#[test]
fn colours_do_not_hide_the_counts() {
    let output = "test result: \u{1b}[32mok\u{1b}[m. 5 passed; 0 failed; 0 ignored; 0 measured";
    assert_eq!(
        TestCounts::read(output),
        Some(TestCounts { passed: 5, failed: 0 })
    );
    let nextest = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.0s] \u{1b}[1m5\u{1b}[0m tests run: \u{1b}[1m5\u{1b}[0m \
                   \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped";
    assert_eq!(
        TestCounts::read(nextest),
        Some(TestCounts { passed: 5, failed: 0 })
    );
}

#[test]
fn output_without_a_summary_has_no_counts() {
    assert_eq!(
        TestCounts::read("error: could not compile `x`\n3 passed; 1 failed\n"),
        None
    );
    assert_eq!(TestCounts::read(""), None);
}
