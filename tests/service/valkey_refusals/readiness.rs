//! `/readyz` and the answers to callers while Valkey answers `PING` but refuses writes.

use std::time::Duration;

use tokenward_harness::parts::{Metrics, Valkey};
use tokio::time::{Instant, sleep};

use super::{as_user, expect_ok, on, on_config, set_user, with_user};
use crate::deployment::{Deployment, patient_valkey_config};

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `/readyz` returns `status`, and returns its cause.
async fn becomes(deployment: &Deployment, status: u16) -> anyhow::Result<String> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let answer = deployment.get("/readyz").await?;
        if answer.status == status {
            return Ok(answer.text("cause").to_owned());
        }
        anyhow::ensure!(Instant::now() < limit, "never {status}: {answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The number of failed store operations so far.
fn store_errors(deployment: &Deployment) -> u64 {
    let text = deployment.service(0).service().metrics().exposition();
    Metrics::read(&text).count("tokenward_store_errors_total", &[])
}

/// A command that makes Valkey refuse writes, the cause that callers receive, and the command that ends it.
struct Refusal {
    begin: &'static [&'static str],
    cause: &'static str,
    end: &'static [&'static str],
}

const REFUSALS: [Refusal; 4] = [
    Refusal {
        begin: &["CONFIG", "SET", "maxmemory", "1"],
        cause: "its memory is full (OOM)",
        end: &["CONFIG", "SET", "maxmemory", "0"],
    },
    Refusal {
        begin: &["CONFIG", "SET", "min-replicas-to-write", "1"],
        cause: "min-replicas-to-write wants (NOREPLICAS)",
        end: &["CONFIG", "SET", "min-replicas-to-write", "0"],
    },
    Refusal {
        begin: &["REPLICAOF", "127.0.0.1", "1"],
        cause: "is a replica (READONLY)",
        end: &["REPLICAOF", "NO", "ONE"],
    },
    Refusal {
        begin: &["ACL", "SETUSER", "tokenward", "-time"],
        cause: "the command time (NOPERM)",
        end: &["ACL", "SETUSER", "tokenward", "+time"],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_writes_is_not_ready_reports_why_and_recovers_without_a_restart()
-> anyhow::Result<()> {
    let valkey = with_user(&["~tokenward:*", "+@all"]).await?;
    let deployment = on(&valkey).await?;
    let tokens = deployment.log_in("s-0").await?;
    for refusal in REFUSALS {
        becomes(&deployment, 200).await?;
        expect_ok(&valkey, refusal.begin).await?;
        let put = deployment.put_login("s-1", &tokens).await?;
        assert_eq!(put.refusal(), (503, "store_unavailable"), "{}", refusal.cause);
        assert!(put.text("error_description").contains(refusal.cause), "{put:?}");
        let limit = Instant::now() + PATIENCE;
        // At once after a refused write, without waiting for the next self-test.
        let ready = deployment.get("/readyz").await?;
        assert_eq!(ready.status, 503, "{}", refusal.cause);
        assert!(ready.text("cause").contains(refusal.cause), "{ready:?}");
        assert!(!ready.body.to_string().contains("127.0.0.1"), "{ready:?}");
        // And as long as it lasts, even without further writes: the next self-test fails too.
        let failed = store_errors(&deployment);
        while store_errors(&deployment) == failed {
            let answer = deployment.get("/readyz").await?;
            assert_eq!(answer.status, 503, "{}", refusal.cause);
            assert!(answer.text("cause").contains(refusal.cause), "{answer:?}");
            anyhow::ensure!(Instant::now() < limit, "no self-test: {}", refusal.cause);
            sleep(Duration::from_millis(20)).await;
        }
        expect_ok(&valkey, refusal.end).await?;
        becomes(&deployment, 200).await?;
        assert_eq!(deployment.put_login("s-1", &tokens).await?.status / 100, 2);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_readiness_probe_alone_detects_that_writes_are_refused() -> anyhow::Result<()> {
    let valkey = with_user(&["~tokenward:*", "+@all"]).await?;
    let deployment = on(&valkey).await?;
    for refusal in REFUSALS {
        becomes(&deployment, 200).await?;
        expect_ok(&valkey, refusal.begin).await?;
        assert!(becomes(&deployment, 503).await?.contains(refusal.cause));
        expect_ok(&valkey, refusal.end).await?;
    }
    becomes(&deployment, 200).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_no_longer_accepted_and_a_denied_key_are_named() -> anyhow::Result<()> {
    let valkey = with_user(&["~other:*", "+@all"]).await?;
    let deployment = on(&valkey).await?;
    let cause = becomes(&deployment, 503).await?;
    assert!(
        cause.contains("the keys under store.valkey.key_prefix"),
        "{cause}"
    );
    set_user(&valkey, &["~tokenward:*", "+@all"]).await?;
    becomes(&deployment, 200).await?;
    expect_ok(
        &valkey,
        &["ACL", "SETUSER", "tokenward", "resetpass", ">another-password"],
    )
    .await?;
    valkey
        .command(&["CLIENT", "KILL", "USER", "tokenward", "SKIPME", "no"])
        .await?;
    let cause = becomes(&deployment, 503).await?;
    assert!(cause.contains("the user or the password (WRONGPASS)"), "{cause}");
    set_user(&valkey, &["~tokenward:*", "+@all"]).await?;
    becomes(&deployment, 200).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_valkey_does_not_have_is_named() -> anyhow::Result<()> {
    let valkey = with_user(&["~tokenward:*", "+@all"]).await?;
    let url = valkey.url().replace("/0", "/99");
    let deployment = on_config(as_user(patient_valkey_config(url))).await?;
    let cause = becomes(&deployment, 503).await?;
    assert!(
        cause.contains("no database of the number in store.valkey.url"),
        "{cause}"
    );
    Ok(())
}

/// The number of self-tests that `valkey` has received: each adds one member to a set.
async fn self_tests(valkey: &Valkey) -> anyhow::Result<u64> {
    const COUNT: &str = "return tonumber(string.match(redis.call('INFO', 'commandstats'), 'cmdstat_sadd:calls=(%d+)') or '0')";
    let reply = valkey.command(&["EVAL", COUNT, "0"]).await?;
    Ok(reply.trim_end().trim_start_matches(':').parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_it_is_probed_a_store_is_written_to_every_three_seconds_at_most() -> anyhow::Result<()>
{
    let valkey = with_user(&["~tokenward:*", "+@all"]).await?;
    let deployment = on(&valkey).await?;
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(deployment.get("/readyz").await?.status, 200);
    }
    let (seen, most) = (self_tests(&valkey).await?, began.elapsed().as_secs() / 3 + 1);
    assert!((1..=most).contains(&seen), "{seen} self-tests, {most} at most");
    // Nothing is left behind.
    assert_eq!(valkey.command(&["DBSIZE"]).await?, ":0\r\n");
    Ok(())
}

/// While it refuses writes: once a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_writes_is_tested_once_a_second_at_most() -> anyhow::Result<()> {
    let valkey = with_user(&["~tokenward:*", "+@all", "-pexpire"]).await?;
    let deployment = on(&valkey).await?;
    let began = Instant::now();
    for _ in 0..200 {
        let answer = deployment.get("/readyz").await?;
        assert!(
            answer.text("cause").contains("the command pexpire (NOPERM)"),
            "{answer:?}"
        );
    }
    let (seen, most) = (self_tests(&valkey).await?, began.elapsed().as_secs() + 1);
    assert!((1..=most).contains(&seen), "{seen} self-tests, {most} at most");
    Ok(())
}

/// A snapshot cannot be written to `/proc`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_failed_and_a_primary_that_is_lost_are_named() -> anyhow::Result<()> {
    let valkey = Valkey::start_on_a_port(&["--enable-protected-configs", "yes"]).await?;
    set_user(&valkey, &["~tokenward:*", "+@all"]).await?;
    let deployment = on(&valkey).await?;
    becomes(&deployment, 200).await?;
    expect_ok(&valkey, &["CONFIG", "SET", "dir", "/proc", "save", "3600 1"]).await?;
    valkey.command(&["BGSAVE"]).await?;
    let cause = becomes(&deployment, 503).await?;
    assert!(cause.contains("its last snapshot to disk (MISCONF)"), "{cause}");
    expect_ok(&valkey, &["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await?;
    becomes(&deployment, 200).await?;

    expect_ok(&valkey, &["CONFIG", "SET", "replica-serve-stale-data", "no"]).await?;
    expect_ok(&valkey, &["REPLICAOF", "127.0.0.1", "1"]).await?;
    let cause = becomes(&deployment, 503).await?;
    assert!(
        cause.contains("(MASTERDOWN)") || cause.contains("(READONLY)"),
        "{cause}"
    );
    expect_ok(&valkey, &["REPLICAOF", "NO", "ONE"]).await?;
    becomes(&deployment, 200).await?;
    Ok(())
}
