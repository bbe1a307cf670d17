//! The log in the store, on both engines: positions only grow, and no entry is missed.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokenward_control::clock::HandClock;
use tokenward_control::filter_state::{NotOfThisLog, SignOutBatch, SignOutLog};
use tokenward_control::store::embedded::EmbeddedStore;
use tokenward_control::store::valkey::ValkeyStore;
use tokenward_control::store::{Expected, Key, Store};
use tokenward_harness::parts::Valkey;
use tokenward_protocol::filter_state::{EndedDigest, MAX_SIGN_OUTS, MAX_SIGN_OUTS_OF_ANSWER, SignOut};

use crate::deployment::{at_once, patient_valkey_config};

const NOW_MS: u64 = 1_800_000_000_000;
const GRACE: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(20);

struct Stage {
    store: Arc<dyn Store>,
    clock: Arc<HandClock>,
    _parts: (Option<Valkey>, Option<TempDir>),
}

impl Stage {
    async fn embedded() -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-log-")?;
        let clock = Arc::new(HandClock::at(NOW_MS));
        let store = EmbeddedStore::open(folder.path().join("store.redb"), PATIENCE, clock.clone()).await?;
        Ok(Self {
            store: Arc::new(store),
            clock,
            _parts: (None, Some(folder)),
        })
    }

    async fn valkey() -> anyhow::Result<Self> {
        let valkey = Valkey::start().await?;
        Ok(Self {
            store: Arc::new(ValkeyStore::connect(patient_valkey_config(valkey.url())).await?),
            clock: Arc::new(HandClock::at(NOW_MS)),
            _parts: (Some(valkey), None),
        })
    }

    /// The log as one more replica has it.
    fn replica(&self) -> SignOutLog {
        SignOutLog::new(self.store.clone(), self.clock.clone(), GRACE)
    }
}

fn entry(number: u64) -> SignOut {
    SignOut {
        ended: EndedDigest(number),
        last_second: 1,
    }
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<SignOut> {
    numbers.map(entry).collect()
}

/// Everything after `after`, page by page, and the last position.
async fn all_since(log: &SignOutLog, after: u64) -> anyhow::Result<(u64, Vec<u64>)> {
    let (mut version, mut found) = (after, Vec::new());
    loop {
        let SignOutBatch {
            version: next,
            has_more,
            sign_outs,
        } = log.since(version, MAX_SIGN_OUTS_OF_ANSWER).await?;
        assert!(next >= version, "{next} after {version}");
        assert!(sign_outs.len() <= MAX_SIGN_OUTS_OF_ANSWER);
        version = next;
        found.extend(sign_outs.iter().map(|entry| entry.ended.0));
        if !has_more {
            return Ok((version, found));
        }
    }
}

async fn replicas_append_at_the_same_time(stage: &Stage) -> anyhow::Result<()> {
    let writers = (0..8_u64).map(|writer| {
        let log = stage.replica();
        async move {
            for number in 0..100 {
                log.append(&[entry(writer * 1000 + number)]).await?;
            }
            anyhow::Ok(())
        }
    });
    let before = stage.replica().since(0, 1).await?.version;
    at_once(writers)
        .await
        .into_iter()
        .collect::<anyhow::Result<Vec<()>>>()?;
    let (version, found) = all_since(&stage.replica(), before).await?;
    assert_eq!(found.len(), 800);
    assert_eq!(version, before + 800, "one position for each");
    for writer in 0..8 {
        let own: Vec<u64> = found
            .iter()
            .copied()
            .filter(|number| number / 1000 == writer)
            .collect();
        assert_eq!(own, (writer * 1000..writer * 1000 + 100).collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test]
async fn eight_writers_of_a_hundred_each_lose_none_and_keep_their_order_on_both_engines() -> anyhow::Result<()>
{
    replicas_append_at_the_same_time(&Stage::embedded().await?).await?;
    replicas_append_at_the_same_time(&Stage::valkey().await?).await
}

#[tokio::test]
async fn a_new_filter_gets_the_newest_hundred_thousand_in_bounded_answers() -> anyhow::Result<()> {
    let stage = Stage::embedded().await?;
    let log = stage.replica();
    let total = u64::try_from(MAX_SIGN_OUTS)? + 2_500;
    for start in (0..total).step_by(5_000) {
        log.append(&entries(start..(start + 5_000).min(total))).await?;
    }
    let (version, found) = all_since(&stage.replica(), 0).await?;
    assert_eq!(found, (2_500..total).collect::<Vec<_>>());
    // What ended meanwhile comes at the end.
    log.append(&[entry(total)]).await?;
    assert_eq!(all_since(&log, version).await?.1, [total]);
    Ok(())
}

#[tokio::test]
async fn a_position_is_never_given_twice_whatever_the_store_forgets() -> anyhow::Result<()> {
    for stage in [Stage::embedded().await?, Stage::valkey().await?] {
        let log = stage.replica();
        log.append(&entries(0..30)).await?;
        let (version, found) = all_since(&log, 0).await?;
        assert_eq!(found.len(), 30);
        let page = Key::new("sign_out_page", &(version >> 10).to_string());
        let head = Key::new("sign_out_log", "head");
        let old = stage.store.read(&page).await?.expect("the page");

        // The newest page lost its last entries.
        log.append(&[entry(30)]).await?;
        let (later, _) = all_since(&log, version).await?;
        stage.store.write(&page, Expected::Any, &old.value, None).await?;
        let restored = stage.replica();
        assert_eq!(all_since(&restored, later).await?.1, [0_u64; 0]);
        restored.append(&[entry(31)]).await?;
        let (newer, found) = all_since(&stage.replica(), later).await?;
        assert_eq!(found, [31], "it is not at a position that a filter has already");

        // A page is gone, by expiry for one.
        stage
            .store
            .delete(
                &Key::new("sign_out_page", &(newer >> 10).to_string()),
                Expected::Any,
            )
            .await?;
        let emptied = stage.replica();
        emptied.append(&[entry(32)]).await?;
        let (newest, found) = all_since(&emptied, newer).await?;
        assert_eq!(found, [32]);

        // All of it.
        stage.clock.advance(Duration::from_secs(10));
        stage.store.delete(&head, Expected::Any).await?;
        let wiped = stage.replica();
        assert_eq!(all_since(&wiped, newest).await?.1, [0_u64; 0]);
        wiped.append(&[entry(33)]).await?;
        assert_eq!(all_since(&stage.replica(), newest).await?.1, [33]);
    }
    Ok(())
}

#[tokio::test]
async fn entries_expire_when_no_token_from_before_can_live() -> anyhow::Result<()> {
    let stage = Stage::embedded().await?;
    let log = stage.replica();
    log.append(&entries(0..3)).await?;
    let (version, _) = all_since(&log, 0).await?;
    stage.clock.advance(Duration::from_secs(24 * 3600) + GRACE);
    assert_eq!(all_since(&stage.replica(), 0).await?.1, [0, 1, 2]);
    stage.clock.advance(Duration::from_secs(3601));
    let (later, found) = all_since(&stage.replica(), 0).await?;
    assert_eq!(found, [0_u64; 0]);
    assert!(later <= version);
    stage.replica().append(&[entry(4)]).await?;
    assert_eq!(all_since(&stage.replica(), version).await?.1, [4]);
    Ok(())
}

#[tokio::test]
async fn what_one_replica_appends_another_gives_within_half_a_second_and_itself_at_once() -> anyhow::Result<()>
{
    let stage = Stage::embedded().await?;
    let (one, other) = (stage.replica(), stage.replica());
    let (version, _) = all_since(&other, 0).await?;
    one.append(&[entry(1)]).await?;
    assert_eq!(all_since(&one, version).await?.1, [1]);
    tokio::time::timeout(Duration::from_secs(20), async {
        while all_since(&other, version).await?.1 != [1] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    })
    .await?
}

#[tokio::test]
async fn a_page_that_an_absurd_position_names_is_not_opened() -> anyhow::Result<()> {
    let stage = Stage::embedded().await?;
    let log = stage.replica();
    let refused = log.since(u64::MAX, 1).await;
    assert!(matches!(refused, Err(NotOfThisLog::Position)), "{refused:?}");
    let (version, _) = all_since(&log, 0).await?;
    assert_eq!((version + 1) >> 10, NOW_MS / 1000);
    Ok(())
}
