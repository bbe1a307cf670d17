//! The CPU time of a process.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// `USER_HZ`, in which the kernel reports utime and stime on every architecture that Envoy runs on.
pub const CLOCK_TICK_NS: u64 = 10_000_000;

/// Nanoseconds of CPU that the living threads of a process have used. Exact while they are idle.
///
/// # Errors
/// When there is no such process.
pub fn cpu_ns(pid: u32) -> anyhow::Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut total = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        let folder = task?.path();
        total += match fs::read_to_string(folder.join("schedstat")) {
            Ok(text) => text
                .split(' ')
                .next()
                .context("an empty schedstat")?
                .parse::<u64>()?,
            // A kernel without schedstat: ten thousand times coarser.
            Err(_) => ticks(&folder.join("stat"))? * CLOCK_TICK_NS,
        };
    }
    Ok(total)
}

/// Nanoseconds of CPU that a process has used, with those of threads that have ended (a pool's threads end after ten idle
/// seconds, and took what they had used out of [`cpu_ns`]). In steps of 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_ns_with_ended_threads(pid: u32) -> anyhow::Result<u64> {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    Ok(ticks(&stat)? * CLOCK_TICK_NS)
}

/// utime + stime, fields 14 and 15; the name before them may hold blanks, so they are counted from its bracket.
fn ticks(stat: &Path) -> anyhow::Result<u64> {
    let text = fs::read_to_string(stat)?;
    let (_, fields) = text.rsplit_once(") ").context("a stat without a name")?;
    let mut fields = fields.split(' ').skip(11);
    let mut tick = || -> anyhow::Result<u64> { Ok(fields.next().context("a short stat")?.parse()?) };
    Ok(tick()? + tick()?)
}
