use super::Run;

const ENDED: &str = "\
#64532\tREDUCE cov: 587 ft: 3114 corp: 376/138Kb lim: 904 exec/s: 5377 rss: 451Mb L: 511/904 MS: 1 EraseBytes-
#1264750\tDONE   cov: 587 ft: 3115 corp: 377/139Kb lim: 904 exec/s: 4980 rss: 451Mb
###### Recommended dictionary. ######
Done 1264750 runs in 13 second(s)
stat::number_of_executed_units: 1264750
stat::average_exec_per_sec:     4980
stat::new_units_added:          1009
";

const BROKE: &str = "\
#2\tINITED cov: 587 ft: 3115 corp: 7/139b exec/s: 0 rss: 45Mb

thread '<unnamed>' (77) panicked at oracles/src/pair_slot.rs:80:5:
5 ms of 1 ms
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==77== ERROR: libFuzzer: deadly signal
artifact_prefix='fuzz/artifacts/pair_slot/'; Test unit written to fuzz/artifacts/pair_slot/crash-4f2a
stat::number_of_executed_units: 2
";

#[test]
fn a_run_that_found_nothing_is_reported_in_numbers() {
    assert_eq!(
        Run::read(ENDED).to_string(),
        "1,264,750 executions, 4,980/s, cov 587, ft 3,115, corpus 377"
    );
}

#[test]
fn a_broken_promise_is_reported_with_its_input() {
    let run = Run::read(BROKE);
    assert_eq!(
        run.artifact.as_deref(),
        Some("fuzz/artifacts/pair_slot/crash-4f2a")
    );
    assert_eq!(
        run.panic.as_deref(),
        Some("oracles/src/pair_slot.rs:80:5: 5 ms of 1 ms")
    );
}

#[test]
fn what_was_not_printed_is_not_made_up() {
    let run = Run::read("no libFuzzer here");
    assert_eq!(run, Run::default());
    assert_eq!(run.to_string(), "? executions, ?/s, cov ?, ft ?, corpus ?");
}
