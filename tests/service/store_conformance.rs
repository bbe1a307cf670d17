//! One list of behaviours, run against both store engines: an engine is right when it passes.

use std::future::Future;
use std::time::Duration;

use tokenward_control::store::{Entry, Expected, Key, LeaseOwner, Revision, Store, WriteOutcome};
use tokio::time::{Instant, sleep};

mod engine;
mod file;
mod leases;
mod lineage;
mod listing;
mod outage;
mod records;
mod sets;
mod streams;
pub(crate) mod topologies;
mod values;

use engine::Engine;

/// Every behaviour as a test of its own, per engine.
macro_rules! both_engines {
    ($($module:ident :: $behaviour:ident),* $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() -> anyhow::Result<()> {
                    let engine = super::Engine::embedded().await?;
                    super::$module::$behaviour(&engine).await
                }
            )*
        }
        mod valkey {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() -> anyhow::Result<()> {
                    let engine = super::Engine::valkey().await?;
                    super::$module::$behaviour(&engine).await
                }
            )*
        }
        /// How many behaviours the list holds, for the topologies that run all of it at once.
        async fn every_behaviour(engine: &Engine) -> anyhow::Result<usize> {
            let mut count = 0;
            $(
                $module::$behaviour(engine)
                    .await
                    .map_err(|error| error.context(stringify!($behaviour)))?;
                count += 1;
            )*
            Ok(count)
        }
    };
}

both_engines! {
    values::an_unknown_key_is_absent,
    values::what_is_written_is_read_back_with_its_revision,
    values::a_value_is_absent_once_its_lifetime_is_over,
    values::a_value_without_lifetime_outlives_one_with,
    values::a_new_lifetime_replaces_the_old,
    values::a_write_expecting_absence_happens_only_once,
    values::a_write_at_a_stale_revision_changes_nothing_and_shows_what_is_there,
    values::an_expired_value_counts_as_absent_for_writes,
    values::revisions_grow_and_are_never_repeated_after_a_deletion,
    values::a_hundred_concurrent_increments_are_exactly_a_hundred,
    values::of_fifty_concurrent_creators_exactly_one_succeeds,
    values::deletion_obeys_its_expectation,
    values::deleting_what_is_absent_is_no_error,
    values::any_bytes_survive,
    values::a_mebibyte_survives,
    values::keys_with_odd_characters_are_all_distinct,
    values::a_value_a_set_and_a_lease_of_one_name_do_not_interfere,
    values::the_store_answers_a_ping,
    sets::an_unknown_set_is_empty,
    sets::members_are_added_once_and_removed_once,
    sets::a_set_lives_as_long_as_its_longest_lifetime,
    sets::an_expired_set_is_empty_and_starts_again,
    sets::fifty_concurrent_additions_are_all_there,
    streams::an_unknown_stream_is_empty,
    streams::entries_are_read_in_order_from_both_ends,
    streams::what_is_appended_later_follows_the_newest_cursor,
    streams::a_full_stream_loses_its_oldest_entries,
    streams::a_stream_is_gone_once_its_lifetime_is_over,
    streams::a_cursor_of_another_store_is_no_position,
    streams::fifty_concurrent_appends_are_all_there,
    listing::an_unknown_kind_lists_nothing,
    listing::every_record_of_a_kind_is_listed_whatever_the_pages,
    listing::a_listing_shows_nothing_of_other_kinds_nor_sets_nor_leases,
    listing::what_was_deleted_or_has_expired_is_not_listed,
    listing::what_stays_is_listed_while_other_records_come_and_go,
    listing::a_cursor_of_another_store_is_refused,
    leases::a_lease_has_one_holder,
    leases::a_lease_is_free_once_it_has_expired,
    leases::its_owner_renews_a_lease,
    leases::only_its_owner_gives_a_lease_back,
    leases::a_lost_lease_is_not_taken_from_its_new_holder,
    leases::of_fifty_concurrent_acquirers_exactly_one_succeeds,
    lineage::a_lineage_stays_the_same_while_nothing_is_lost,
}

/// The whole list on `store`; how many behaviours that were.
pub(crate) async fn every_behaviour_of(store: std::sync::Arc<dyn Store>) -> anyhow::Result<usize> {
    every_behaviour(&Engine::of(store, None, (None, None))).await
}

const MINUTE: Duration = Duration::from_secs(60);
/// Short enough to wait for in real time, and longer than a busy machine takes for the next operation.
const MOMENT: Duration = Duration::from_secs(1);
/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn done(outcome: &WriteOutcome) -> anyhow::Result<Revision> {
    match outcome {
        WriteOutcome::Done(revision) => Ok(*revision),
        WriteOutcome::Conflict(entry) => anyhow::bail!("unexpected conflict with {entry:?}"),
    }
}

async fn put(store: &dyn Store, key: &Key, value: &[u8]) -> anyhow::Result<Revision> {
    done(&store.write(key, Expected::Any, value, Some(MINUTE)).await?)
}

fn entry(revision: Revision, value: &[u8]) -> Entry {
    Entry {
        revision,
        value: value.to_vec(),
    }
}

fn owner(name: &str) -> LeaseOwner {
    LeaseOwner(name.to_owned())
}

/// Polls until `condition` is true.
pub(crate) async fn eventually<F: Future<Output = anyhow::Result<bool>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    while !condition().await? {
        anyhow::ensure!(Instant::now() < limit, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
