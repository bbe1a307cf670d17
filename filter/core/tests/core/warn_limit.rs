//! However many pairs fail, the whole Envoy writes a bounded number of WARN lines a minute, and reports how many it withheld.

use proptest::prelude::*;
use tokenward_filter_core::log::Level;
use tokenward_filter_core::pair::warn_limit::{WarnMinute, WarnPermit};

use crate::host::{Envoy, token};

const KUBE: &str = "/kubernetes/mcp";

/// A request with a token of another issuer: refused without a call, a pair for each subject.
fn refused_by_itself(envoy: &mut Envoy, worker: usize, number: usize) {
    let presented = token(
        "https://other.example.com",
        "kube",
        &format!("user-{number}"),
        600,
    );
    envoy.send(worker, KUBE, Some(&presented), None);
}

fn withheld_in(lines: &[String]) -> Vec<&str> {
    let lines = lines.iter().filter(|line| line.starts_with("withheld"));
    lines.map(|line| line.split(':').next().unwrap()).collect()
}

#[test]
fn three_thousand_pairs_on_four_workers_are_a_thousand_warnings_a_minute_and_one_line_about_the_rest() {
    let mut envoy = Envoy::new(4);
    for number in 0..3_000 {
        refused_by_itself(&mut envoy, number % 4, number);
    }
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 1_000);
    assert_eq!(
        envoy.host.lines_at(Level::Debug).len(),
        2_000,
        "none is lost at DEBUG"
    );
    // Nothing fails any more; the count is still logged, once.
    for _ in 0..700 {
        envoy.host.advance_ms(100);
        envoy.workers.iter_mut().for_each(|worker| worker.on_tick());
    }
    let warns = envoy.host.lines_at(Level::Warn);
    assert_eq!(warns.len(), 1_001);
    assert_eq!(withheld_in(&warns), ["withheld warnings=2000"]);
}

#[test]
fn the_next_minute_has_its_own_lines_and_begins_with_what_was_withheld() {
    let mut envoy = Envoy::new(1);
    for number in 0..1_200 {
        refused_by_itself(&mut envoy, 0, number);
    }
    envoy.host.advance_ms(60_000);
    for number in 2_000..3_500 {
        refused_by_itself(&mut envoy, 0, number);
    }
    let warns = envoy.host.lines_at(Level::Warn);
    assert_eq!(withheld_in(&warns), ["withheld warnings=200"]);
    assert_eq!(warns.len(), 2_001);
}

#[test]
fn the_limit_can_be_set() {
    let mut envoy = Envoy::with_config(2, |text| text.replacen('{', r#"{"warn_limit": 5,"#, 1));
    for number in 0..100 {
        refused_by_itself(&mut envoy, number % 2, number);
    }
    assert_eq!(envoy.host.lines_at(Level::Warn).len(), 5);
}

#[test]
fn a_clock_that_steps_back_begins_another_minute() {
    let mut envoy = Envoy::new(1);
    for number in 0..1_100 {
        refused_by_itself(&mut envoy, 0, number);
    }
    let now_ms = envoy.host.now_ms.get();
    envoy.host.now_ms.set(now_ms - 3_600_000);
    refused_by_itself(&mut envoy, 0, 5_000);
    envoy.workers[0].on_tick();
    assert_eq!(
        withheld_in(&envoy.host.lines_at(Level::Warn)),
        ["withheld warnings=100"]
    );
}

#[test]
fn the_ticks_of_a_quiet_envoy_write_nothing() {
    let mut envoy = Envoy::new(1);
    for _ in 0..600 {
        envoy.host.advance_ms(100);
        envoy.workers[0].on_tick();
    }
    assert_eq!(envoy.host.writes.get(), 0);
}

proptest! {
    #[test]
    fn every_line_is_written_or_counted_and_no_minute_has_more_than_its_lines(
        steps in prop::collection::vec((0u64..30_000, 1u32..20), 1..100), most in 1u32..20,
    ) {
        let (mut lines, mut now_ms) = (WarnMinute::default(), 1_800_000_000_000);
        let (mut total, mut written, mut reported) = (0u64, Vec::new(), 0u64);
        for (wait_ms, count) in steps {
            now_ms += wait_ms;
            if let Some((after, withheld)) = lines.take_withheld(now_ms) {
                (lines, reported) = (after, reported + u64::from(withheld));
            }
            for _ in 0..count {
                total += 1;
                let (after, permit) = lines.take(most, now_ms);
                lines = after;
                if let WarnPermit::Write { withheld } = permit {
                    written.push(now_ms);
                    reported += u64::from(withheld);
                }
            }
        }
        prop_assert_eq!(total, u64::try_from(written.len()).unwrap() + reported + u64::from(lines.withheld));
        for (n, at_ms) in written.iter().enumerate() {
            // Two windows may touch; more than twice the limit in a minute never happens.
            let in_a_minute = written[n..].iter().filter(|other| **other < at_ms + 60_000).count();
            prop_assert!(in_a_minute <= 2 * usize::try_from(most).unwrap());
        }
    }
}
