//! A disk that fails the embedded store's writes for a while: full, over its quota, or broken.

mod stage;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokenward_control::clock::SystemClock;
use tokenward_control::store::embedded::{EmbeddedStore, OpenError};
use tokenward_control::store::{Expected, Key, Store as _, WriteOutcome};
use tokenward_harness::issuer::Endpoint;

use crate::deployment::ADMIN;
use stage::{FULL, PATIENCE, Stage, limit_files};

#[tokio::test]
async fn a_disk_that_was_full_for_a_while_needs_no_restart_of_the_service() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let tokens = stage.log_in().await?;
    assert_eq!(stage.put("s-before", &tokens).await?, 201);
    stage.fill_the_disk()?;
    for _ in 0..5 {
        assert_eq!(stage.put("s-meanwhile", &tokens).await?, 503);
        assert_eq!(stage.probe("/readyz").await?, 503);
        assert_eq!(stage.probe("/livez").await?, 200);
    }
    stage.make_room()?;
    stage.wait_until_ready().await?;
    // What was answered before is still there, and what was refused can be done.
    assert_eq!(stage.put("s-before", &tokens).await?, 200);
    assert_eq!(stage.ask("s-before", &tokens).await?, 200);
    assert_eq!(stage.put("s-meanwhile", &tokens).await?, 201);
    assert_eq!(stage.probe("/readyz").await?, 200);
    let log = stage.log();
    let warned = |line: &str| line.contains("WARN") && line.contains("not ready");
    assert_eq!(log.count(warned), 1, "{}", log.tail(40));
    let cured = |line: &str| warned(line) && line.contains("no restart is needed");
    assert_eq!(log.count(cured), 1, "{}", log.tail(40));
    assert_eq!(stage.lines("ready again: the store answers"), 1);
    Ok(())
}

/// Its header can be written, and what fits into the pages that are free, but the file cannot grow.
#[tokio::test]
async fn a_file_that_can_be_opened_but_not_grow_is_not_ready() -> anyhow::Result<()> {
    const MOST_SESSIONS: usize = 5_000;
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let tokens = stage.log_in().await?;
    assert_eq!(stage.put("s-0", &tokens).await?, 201);
    let bytes = std::fs::metadata(&stage.store)?.len();
    limit_files(stage.pid()?, &bytes.to_string())?;
    let mut kept = 1;
    while stage.put(&format!("s-{kept}"), &tokens).await? == 201 {
        kept += 1;
        ensure!(kept < MOST_SESSIONS, "the file of {bytes} bytes never grew");
    }
    for _ in 0..3 {
        stage.wait_for_a_vain_attempt("no restart is needed").await?;
    }
    assert_eq!(stage.lines("reopened the store file"), 0);
    stage.make_room()?;
    stage.wait_until_ready().await?;
    for number in 0..kept {
        assert_eq!(
            stage.put(&format!("s-{number}"), &tokens).await?,
            200,
            "s-{number} of {kept}"
        );
    }
    assert_eq!(stage.put(&format!("s-{kept}"), &tokens).await?, 201);
    println!("{kept} sessions in {bytes} bytes");
    Ok(())
}

#[tokio::test]
async fn however_often_it_is_probed_the_file_is_tried_once_a_second() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let tokens = stage.log_in().await?;
    stage.fill_the_disk()?;
    assert_eq!(stage.put("s-meanwhile", &tokens).await?, 503);
    let (began, before) = (Instant::now(), stage.vain_attempts());
    let mut asked = 0;
    while began.elapsed() < Duration::from_secs(3) {
        assert_eq!(stage.probe("/readyz").await?, 503);
        asked += 1;
    }
    let most = usize::try_from(began.elapsed().as_secs())? + 1;
    let vain = stage.vain_attempts() - before;
    assert!((1..=most).contains(&vain), "{vain} attempts, at most {most}");
    assert!(asked > 2 * vain, "{asked} questions, {vain} attempts");
    Ok(())
}

#[tokio::test]
async fn a_token_that_was_rotated_while_the_disk_was_full_is_stored_and_presented_once() -> anyhow::Result<()>
{
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let tokens = stage.deployment.login_of_an_hour_ago(ADMIN).await?;
    assert_eq!(stage.put("s-1", &tokens).await?, 201);
    stage.deployment.dex.hold(Endpoint::Refresh);
    let pid = stage.pid()?;
    let (answer, full) = tokio::join!(stage.ask("s-1", &tokens), async {
        stage.deployment.dex.wait_until_held(Endpoint::Refresh, 1).await;
        limit_files(pid, FULL)?;
        stage.deployment.dex.release(Endpoint::Refresh);
        let limit = Instant::now() + PATIENCE;
        // The write of the new token, and the read that finds out whether it took effect.
        while !matches!(stage.failures().await?, (1.., 3..)) {
            ensure!(
                Instant::now() < limit,
                "the write was not tried again:\n{}",
                stage.log().tail(5)
            );
        }
        anyhow::Ok(())
    });
    full?;
    assert_eq!(answer?, 503);
    stage.make_room()?;
    let limit = Instant::now() + PATIENCE;
    while stage.ask("s-1", &tokens).await? != 200 {
        ensure!(Instant::now() < limit, "no token:\n{}", stage.log().tail(5));
    }
    stage.control().kill()?;
    stage.control().restart().await?;
    assert_eq!(stage.ask("s-1", &tokens).await?, 200);
    let counts = stage.deployment.dex.counts();
    assert_eq!((counts.refreshes_presented, counts.refreshes_succeeded), (1, 1));
    Ok(())
}

#[tokio::test]
async fn no_other_file_is_taken_for_the_one_that_its_disk_failed() -> anyhow::Result<()> {
    const GONE: &str = "was moved away or replaced";
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let tokens = stage.log_in().await?;
    assert_eq!(stage.put("s-before", &tokens).await?, 201);
    stage.fill_the_disk()?;
    // Moved before the write that fails: a background write may have the file opened again at any moment after it.
    let away = stage.store.with_extension("away");
    std::fs::rename(&stage.store, &away)?;
    assert_eq!(stage.put("s-meanwhile", &tokens).await?, 503);
    stage.make_room()?;
    stage.wait_for_a_vain_attempt(GONE).await?;
    assert!(!stage.store.exists());
    // An older copy holds refresh tokens that were used since.
    std::fs::copy(&away, &stage.store)?;
    stage.wait_for_a_vain_attempt(GONE).await?;
    assert_eq!(std::fs::read(&stage.store)?, std::fs::read(&away)?);
    std::fs::rename(&away, &stage.store)?;
    stage.wait_until_ready().await?;
    assert_eq!(stage.put("s-before", &tokens).await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_file_that_another_process_has_taken_meanwhile_is_left_to_it() -> anyhow::Result<()> {
    let Some(mut stage) = Stage::start().await? else {
        return Ok(());
    };
    let tokens = stage.log_in().await?;
    assert_eq!(stage.put("s-before", &tokens).await?, 201);
    assert!(matches!(
        EmbeddedStore::open(&stage.store, PATIENCE, Arc::new(SystemClock)).await,
        Err(OpenError::AlreadyOpen { .. })
    ));
    stage.fill_the_disk()?;
    assert_eq!(stage.put("s-meanwhile", &tokens).await?, 503);
    let other = taken(&stage).await?;
    stage.make_room()?;
    stage
        .wait_for_a_vain_attempt("already open by another process")
        .await?;
    let written = other
        .write(&Key::new("other", "1"), Expected::Absent, b"x", None)
        .await?;
    assert!(matches!(written, WriteOutcome::Done(_)), "{written:?}");
    assert_eq!(stage.put("s-meanwhile", &tokens).await?, 503);
    other.close().await?;
    stage.wait_until_ready().await?;
    assert_eq!(stage.put("s-before", &tokens).await?, 200);
    assert_eq!(stage.put("s-meanwhile", &tokens).await?, 201);
    Ok(())
}

/// The file, opened here between two attempts of the service.
async fn taken(stage: &Stage) -> anyhow::Result<EmbeddedStore> {
    let limit = Instant::now() + PATIENCE;
    loop {
        match EmbeddedStore::open(&stage.store, PATIENCE, Arc::new(SystemClock)).await {
            Err(OpenError::AlreadyOpen { .. }) if Instant::now() < limit => tokio::task::yield_now().await,
            opened => return Ok(opened?),
        }
    }
}
