//! What the benchmark of control counts as its own work. A run called itself disturbed by what ended threads had done.

use std::time::{Duration, Instant};

use tokenward_harness::parts::cpu_ns_with_ended_threads;

const WORK: Duration = Duration::from_millis(500);

fn used() -> anyhow::Result<Duration> {
    Ok(Duration::from_nanos(cpu_ns_with_ended_threads(
        std::process::id(),
    )?))
}

/// Works until the whole process has used [`WORK`] more: how long that takes is the machine's affair.
fn work(before: Duration) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(60);
    while used()? < before + WORK {
        anyhow::ensure!(Instant::now() < limit, "no processor time in a minute");
    }
    Ok(())
}

#[test]
fn what_a_thread_has_used_is_counted_after_its_end() -> anyhow::Result<()> {
    let before = used()?;
    std::thread::spawn(move || work(before))
        .join()
        .map_err(|_| anyhow::anyhow!("the thread"))??;
    assert!(used()? >= before + WORK);
    Ok(())
}
