//! A million sessions: every page answers in bounded time, and says what it did not look at.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokenward_tests::deployment::{ADMIN, Plan};

use super::stage::{Stage, awaits};
use crate::chromium::Manner;

const SESSIONS: usize = 1_000_000;
const LOGINS: usize = 200_000;
const AT_ONCE: usize = 50_000;
/// Far more than a page needs, on a machine that does other work too: what grows with the sessions misses it.
const PAGE: Duration = Duration::from_secs(15);

/// Copies the one record of the kind `ARGV[1]` to the names of `ARGV[2]` to `ARGV[3]`: 32 bytes in base64url, as control
/// stores digests.
const COPY: &str = "
local value = redis.call('GET', 'seed:' .. ARGV[1])
if not value then
  value = redis.call('GET', redis.call('KEYS', 'tokenward:{' .. ARGV[1] .. ':~*')[1])
  redis.call('SET', 'seed:' .. ARGV[1], value)
end
for number = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  local name = string.format('%042d', number) .. 'A'
  redis.call('SET', 'tokenward:{' .. ARGV[1] .. ':~' .. name .. '}', value)
end
return 'copied'
";

async fn copy(stage: &Stage, kind: &str, count: usize) -> anyhow::Result<()> {
    let valkey = stage.deployment.valkey().context("no Valkey")?.client();
    for first in (1..count).step_by(AT_ONCE) {
        let last = (first + AT_ONCE - 1).min(count - 1);
        let answer = valkey
            .command(&["EVAL", COPY, "0", kind, &first.to_string(), &last.to_string()])
            .await?;
        anyhow::ensure!(answer.contains("copied"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_million_sessions_are_listed_and_searched_in_bounded_time() -> anyhow::Result<()> {
    let Some(browser) = crate::browser("a million sessions", Manner::DESK).await? else {
        return Ok(());
    };
    let stage = Stage::set(Plan::default()).await?;
    stage.deployment.log_in("the-one-handle").await?;
    let seeding = Instant::now();
    copy(&stage, "g", LOGINS).await?;
    copy(&stage, "s", SESSIONS).await?;
    tokenward_harness::aloud!(
        "{SESSIONS} sessions and {LOGINS} logins in {:.1} s",
        seeding.elapsed().as_secs_f64()
    );
    stage.log_in(&browser, "/console/").await?;

    let mut slowest = Duration::ZERO;
    for path in ["/console/", "/console/users", "/console/sessions"] {
        let began = Instant::now();
        stage.open(&browser, path).await?;
        slowest = slowest.max(began.elapsed());
        if path != "/console/" {
            for _ in 0..3 {
                let began = Instant::now();
                browser.click("#next").await?;
                browser.element("#list").await?;
                slowest = slowest.max(began.elapsed());
            }
        }
    }
    for (term, place) in [
        (ADMIN, "/console/users/"),
        ("the-one-handle", "/console/sessions/"),
    ] {
        let began = Instant::now();
        browser.fill_in("#term", term).await?;
        browser.click(".search button").await?;
        browser.arrive(|url| url.path().starts_with(place)).await?;
        browser.element("#sign-out").await?;
        slowest = slowest.max(began.elapsed());
    }
    let began = Instant::now();
    browser.fill_in("#term", "part of no name").await?;
    browser.click(".search button").await?;
    awaits(&browser, "This is a partial answer").await?;
    slowest = slowest.max(began.elapsed());
    let first = browser.text().await?;
    browser.click("#go-on").await?;
    awaits(&browser, "This is a partial answer").await?;
    browser.picture("console-million").await?;
    assert!(first.contains("records were examined"), "{first}");
    tokenward_harness::aloud!("the slowest page took {:.2} s", slowest.as_secs_f64());
    assert!(slowest < PAGE, "{slowest:?}");
    Ok(())
}
