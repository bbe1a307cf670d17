use tokenward_filter_core::log::{Level, Refusals};
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_filter_core::pair::throttle::Throttle;
use tokenward_protocol::refusal::Refusal;

const NOW_MS: u64 = 1_800_000_000_000;
const MINUTE_MS: u64 = 60_000;

fn noted(before: &Throttle, now_ms: u64) -> (Throttle, Level, u32) {
    let (after, line) = before.refused(
        Refusals::one(Refusal::NeedsLogin, McpMethod::NONE),
        MINUTE_MS,
        now_ms,
    );
    (after, line.level, line.suppressed)
}

#[test]
fn a_storm_of_two_minutes_is_two_warnings_with_the_number_of_suppressed_ones() {
    let mut before = Throttle::default();
    let mut warnings = Vec::new();
    for second in 0..120 {
        let (after, level, suppressed) = noted(&before, NOW_MS + second * 1000);
        if level == Level::Warn {
            warnings.push((second, suppressed));
        }
        before = after;
    }
    assert_eq!(warnings, [(0, 0), (60, 59)]);
}

#[test]
fn requests_refused_together_are_one_warning() {
    let (after, line) = Throttle::default().refused(
        Refusals {
            requests: 200,
            ..Refusals::one(Refusal::NeedsLogin, McpMethod::NONE)
        },
        MINUTE_MS,
        NOW_MS,
    );
    assert_eq!((line.level, after.suppressed), (Level::Warn, 199));
}

#[test]
fn an_answer_from_the_gates_memory_never_warns() {
    let (after, line) = Throttle::default().refused(
        Refusals::from_memory(Refusal::NeedsLogin, McpMethod::NONE, 1),
        MINUTE_MS,
        NOW_MS,
    );
    assert_eq!(
        (line.level, after.suppressed, after.warned),
        (Level::Debug, 1, false)
    );
}

#[test]
fn a_recovery_is_logged_once_and_only_after_a_warning() {
    let (failing, ..) = noted(&Throttle::default(), NOW_MS);
    let (failing, ..) = noted(&failing, NOW_MS + 1000);
    let (recovered, line) = failing.recovered().expect("a recovery");
    let line = line.expect("worth a line");
    assert_eq!((line.refusal, line.suppressed), (Some(Refusal::NeedsLogin), 1));
    assert_eq!(recovered.recovered(), None);
}

#[test]
fn a_pair_that_flaps_writes_no_more_infos_than_warnings() {
    let (mut warnings, mut infos) = (0, 0);
    let mut before = Throttle::default();
    for second in 0..120 {
        let (failed, level, _) = noted(&before, NOW_MS + second * 1000);
        warnings += usize::from(level == Level::Warn);
        let recovered = failed.recovered();
        infos += usize::from(recovered.is_some_and(|(_, line)| line.is_some()));
        before = recovered.map_or(failed, |(after, _)| after);
    }
    assert_eq!((warnings, infos), (2, 2));
}

#[test]
fn a_clock_that_steps_back_an_hour_does_not_silence_the_pair_for_an_hour() {
    let (before, ..) = noted(&Throttle::default(), NOW_MS);
    let (_, level, _) = noted(&before, NOW_MS - 3_600_000);
    assert_eq!(level, Level::Warn);
}

#[test]
fn refusals_in_a_row_are_counted_until_a_success_even_without_a_warning() {
    let (first, line) = Throttle::default().refused(
        Refusals::from_memory(Refusal::NeedsLogin, McpMethod::NONE, 3),
        MINUTE_MS,
        NOW_MS,
    );
    assert_eq!(line.in_a_row, 3);
    let (second, line) = first.refused(
        Refusals::from_memory(Refusal::NeedsLogin, McpMethod::NONE, 1),
        MINUTE_MS,
        NOW_MS,
    );
    assert_eq!(line.in_a_row, 4);
    let (after, line) = second.recovered().expect("something to forget");
    assert_eq!((after.in_a_row, after.suppressed, line), (0, 4, None));
    assert_eq!(after.recovered(), None);
}
