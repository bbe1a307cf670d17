//! The demo meets its promises, and notices when they are broken.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokenward_demo::{self as demo, Report, Screen};
use tokenward_harness::world::WorldBuilder;
use tokenward_lab_cli::Look;

/// Only bounds a story that hangs.
const LONGEST: Duration = Duration::from_secs(240);
const STEPS: usize = 10;

/// What was written to a screen.
#[derive(Debug, Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

async fn performed(stage: WorldBuilder) -> anyhow::Result<(Report, String)> {
    let world = stage.start().await?;
    let paper = Paper::default();
    let screen = Screen::new(paper.clone(), Look::plain());
    let report = demo::play(&world, &screen, LONGEST).await;
    Ok((report, paper.text()))
}

/// Both stories wait for real expiries most of the time, so they run concurrently.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_meets_every_promise_with_the_filter_and_finds_them_broken_without_it() -> anyhow::Result<()>
{
    let shortly = Duration::from_secs(4);
    let bare = demo::stage().filter_off().tokens_live(shortly, shortly);
    // Longer than in the interactive demo: some of its numbers are exact because a token is still valid.
    let longer = Duration::from_secs(25);
    let stage = demo::stage().tokens_live(longer, longer);
    let (with, without) = tokio::join!(Box::pin(performed(stage)), Box::pin(performed(bare)));
    assert_met(&with?);
    assert_broken(&without?.0);
    Ok(())
}

fn assert_met((report, paper): &(Report, String)) {
    assert_eq!(report.broken, [] as [String; 0], "{paper}");
    assert_eq!(report.steps.len(), STEPS);
    assert!(
        report
            .steps
            .iter()
            .all(|step| step.passed && !step.promises.is_empty())
    );
    assert!(
        report
            .promises()
            .all(|promise| promise.met && promise.must_be.holds(promise.found))
    );
    let json = serde_json::to_value(report).unwrap();
    let number = |pointer: &str| json.pointer(pointer).and_then(serde_json::Value::as_u64);
    let exact = [
        ("/rejected_expired", 0),
        ("/rejected_other", 0),
        ("/warn_per_pair_max", 1),
        ("/storm/requests", 400),
        ("/storm/refused", 400),
        ("/storm/upstream_requests", 0),
        ("/storm/refreshes", 1),
        ("/storm/warnings", 2),
        ("/own_tokens", 0),
        ("/refreshes", 5),
        ("/exchanges", 3),
        ("/warnings", 3),
        ("/recoveries", 3),
        ("/refused", 402),
    ];
    for (pointer, expected) in exact {
        assert_eq!(number(pointer), Some(expected), "{pointer} of {json:#}");
    }
    assert_eq!(number("/accepted"), number("/passed"));
    assert!(number("/storm/control_calls") <= number("/control_calls"));
    assert!(
        json["duration_seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
    assert_eq!(json["steps"][0]["promises"][0]["must_be"], "exactly 8");
    assert!(!paper.contains('\x1b'), "a log gets no colours");
    assert!(!paper.contains("eyJ"), "no token is shown");
}

fn assert_broken(report: &Report) {
    let passed: Vec<bool> = report.steps.iter().map(|step| step.passed).collect();
    assert_eq!(passed, [false; STEPS], "{:#?}", report.broken);
    assert!(report.tally.rejected_expired > 200, "{:?}", report.tally);
    assert!(report.tally.rejected_other > 0, "{:?}", report.tally);
    let broken = report.promises().filter(|promise| !promise.met).count();
    assert_eq!(report.broken.len(), broken, "the story itself ran to its end");
    let expected = "The one invariant: requests with an expired token at a server must be exactly 0, was";
    assert!(
        report.broken.iter().any(|line| line.starts_with(expected)),
        "{:#?}",
        report.broken
    );
}
