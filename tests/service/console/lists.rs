//! Lists: every record once, by pages that are bounded.

use std::collections::BTreeSet;

use serde_json::json;

use super::stage::Stage;
use crate::deployment::{Plan, email, with_users};

const USERS: usize = 130;

/// All links of a list, and the number of its pages.
async fn walk(stage: &Stage, list: &str, start: &str) -> anyhow::Result<(Vec<String>, usize)> {
    let tab = stage.operator().await?;
    let (mut links, mut pages, mut next) = (Vec::new(), 0, list.to_owned());
    loop {
        let page = tab.open(&next).await?;
        assert_eq!(page.status, 200, "{}", page.body);
        pages += 1;
        let of_page = page.links(start);
        assert!(of_page.len() <= 200, "a page of {}", of_page.len());
        links.extend(of_page);
        match page.links(&format!("{list}?after=")).first() {
            Some(address) => next.clone_from(address),
            None => return Ok((links, pages)),
        }
    }
}

async fn every_record_is_on_some_page(valkey: bool) -> anyhow::Result<()> {
    let plan = Plan {
        dex: with_users(Plan::default().dex, USERS),
        valkey,
        ..Plan::default()
    };
    let stage = Stage::start_with(plan, json!({})).await?;
    for user in 0..USERS {
        let session = format!("handle-{user}");
        stage.deployment.log_in_as(&session, &email(user)).await?;
    }
    for (list, start) in [
        ("/console/users", "/console/users/"),
        ("/console/sessions", "/console/sessions/"),
    ] {
        let (links, pages) = walk(&stage, list, start).await?;
        let distinct: BTreeSet<&String> = links.iter().collect();
        assert_eq!(distinct.len(), USERS, "{list}");
        assert!(pages >= 2, "{list}: {pages} pages");
        if !valkey {
            assert_eq!(links.len(), USERS, "{list}: each once");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_embedded_store_is_listed_by_pages() -> anyhow::Result<()> {
    every_record_is_on_some_page(false).await
}

#[tokio::test]
async fn valkey_is_listed_by_pages() -> anyhow::Result<()> {
    every_record_is_on_some_page(true).await
}

#[tokio::test]
async fn an_address_that_names_no_page_is_refused() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.operator().await?;
    for after in ["x", "session:", "grant:", "-1", "0-x", "lease:1", "zzz:1"] {
        for list in ["/console/users", "/console/sessions"] {
            let page = tab.open(&format!("{list}?after={after}")).await?;
            assert_eq!(page.status, 400, "{list} {after}: {}", page.body);
        }
    }
    assert_eq!(tab.open("/console/users?after=session:0").await?.status, 400);
    Ok(())
}
