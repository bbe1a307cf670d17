//! Listing the records of one kind, page by page.

use std::collections::BTreeSet;

use tokenward_control::store::{Cursor, Expected, Key, Store, StoreError};

use super::engine::Engine;
use super::{MINUTE, MOMENT, eventually, owner, put};

/// All keys of `kind`, and the number of pages.
async fn listed(store: &dyn Store, kind: &str, limit: usize) -> anyhow::Result<(BTreeSet<Key>, usize)> {
    let (mut keys, mut pages, mut after) = (BTreeSet::new(), 0, None);
    loop {
        let page = store.list(kind, after.as_ref(), limit).await?;
        pages += 1;
        keys.extend(page.keys);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok((keys, pages)),
        }
        anyhow::ensure!(pages < 100_000, "the listing does not end");
    }
}

pub(super) async fn an_unknown_kind_lists_nothing(engine: &Engine) -> anyhow::Result<()> {
    let (keys, _) = listed(&*engine.store, &engine.kind(), 100).await?;
    assert_eq!(keys, BTreeSet::new());
    Ok(())
}

pub(super) async fn every_record_of_a_kind_is_listed_whatever_the_pages(
    engine: &Engine,
) -> anyhow::Result<()> {
    let (kind, store) = (engine.kind(), &*engine.store);
    let mut expected = BTreeSet::new();
    for number in 0..120_u8 {
        // Digests, which an engine may encode compactly, and other names.
        let name = if number % 2 == 0 {
            format!("{number:02x}").repeat(32)
        } else {
            format!("name {number}")
        };
        let key = Key::new(&kind, &name);
        put(store, &key, b"").await?;
        expected.insert(key);
    }
    for limit in [1, 7, 120, 10_000] {
        let (keys, pages) = listed(store, &kind, limit).await?;
        assert_eq!(keys, expected, "pages of {limit}");
        assert!(limit > 7 || pages > 5, "{pages} pages of {limit}");
    }
    Ok(())
}

pub(super) async fn a_listing_shows_nothing_of_other_kinds_nor_sets_nor_leases(
    engine: &Engine,
) -> anyhow::Result<()> {
    let (kind, store) = (engine.kind(), &*engine.store);
    let key = Key::new(&kind, "record");
    put(store, &key, b"").await?;
    put(store, &Key::new(&format!("{kind}0"), "other kind"), b"").await?;
    put(store, &Key::new(&format!("x{kind}"), "other kind"), b"").await?;
    store
        .add_member(&Key::new(&kind, "set"), "member", MINUTE)
        .await?;
    store
        .acquire_lease(&Key::new(&kind, "lease"), &owner("a"), MINUTE)
        .await?;
    assert_eq!(listed(store, &kind, 100).await?.0, BTreeSet::from([key]));
    Ok(())
}

pub(super) async fn deleted_and_expired_records_are_not_listed(engine: &Engine) -> anyhow::Result<()> {
    let (kind, store) = (engine.kind(), &*engine.store);
    let [lasting, deleted, expiring] = ["lasting", "deleted", "expiring"].map(|name| Key::new(&kind, name));
    for (key, lifetime) in [(&lasting, None), (&deleted, None), (&expiring, Some(MOMENT))] {
        store.write(key, Expected::Any, b"", lifetime).await?;
    }
    store.delete(&deleted, Expected::Any).await?;
    engine.pass(MOMENT);
    eventually("only the lasting record is listed", || async {
        Ok(listed(store, &kind, 10).await?.0 == BTreeSet::from([lasting.clone()]))
    })
    .await
}

pub(super) async fn a_lasting_record_is_listed_while_others_come_and_go(
    engine: &Engine,
) -> anyhow::Result<()> {
    let (kind, store) = (engine.kind(), &*engine.store);
    let key = |name: String| Key::new(&kind, &name);
    let mut staying = BTreeSet::new();
    for number in 0..60 {
        staying.insert(key(format!("stays {number}")));
        put(store, &key(format!("stays {number}")), b"").await?;
        put(store, &key(format!("goes {number}")), b"").await?;
    }
    let (mut found, mut after, mut pages) = (BTreeSet::new(), None, 0);
    loop {
        let page = store.list(&kind, after.as_ref(), 5).await?;
        found.extend(page.keys);
        for number in pages * 3..pages * 3 + 3 {
            store
                .delete(&key(format!("goes {number}")), Expected::Any)
                .await?;
            put(store, &key(format!("comes {number}")), b"").await?;
        }
        pages += 1;
        // A constant stream of new records could prolong a listing indefinitely: it is bounded here.
        match page.next {
            Some(next) if pages < 1_000 => after = Some(next),
            _ => break,
        }
    }
    assert!(staying.is_subset(&found), "{:?}", staying.difference(&found));
    Ok(())
}

pub(super) async fn a_cursor_of_another_store_is_refused(engine: &Engine) -> anyhow::Result<()> {
    let kind = engine.kind();
    put(&*engine.store, &Key::new(&kind, "record"), b"").await?;
    for strange in ["", "strange", "zzzz:record", "99999-0"] {
        let answer = engine
            .store
            .list(&kind, Some(&Cursor(strange.to_owned())), 10)
            .await;
        assert!(
            matches!(answer, Err(StoreError::Unexpected { .. })),
            "{strange:?}: {answer:?}"
        );
    }
    Ok(())
}
