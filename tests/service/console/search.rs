//! Search, and how far it looks.

use serde_json::json;
use tokenward_harness::browser::ShownPage;

use super::stage::Stage;
use super::tab::Tab;
use crate::deployment::{ADMIN, Plan, email, with_users};

const HANDLE: &str = "handle-of-a-session";

async fn search(tab: &Tab<'_>, term: &str) -> anyhow::Result<ShownPage> {
    let page = tab.open("/console/").await?;
    tab.submit(&page, "/console/search", &[("term", term)]).await
}

#[tokio::test]
async fn a_user_is_found_by_each_whole_name_without_a_look_at_any_other() -> anyhow::Result<()> {
    let plan = Plan {
        dex: with_users(Plan::default().dex, 3),
        ..Plan::default()
    };
    let stage = Stage::start_with(plan, json!({})).await?;
    let login = stage.deployment.log_in(HANDLE).await?;
    for user in 0..3 {
        stage
            .deployment
            .log_in_as(&format!("handle-{user}"), &email(user))
            .await?;
    }
    let tab = stage.operator().await?;
    let subject = tokenward_protocol::jwt::Claims::read(login.id_token.as_bytes())?.subject;
    let mut found = Vec::new();
    for term in [ADMIN, "  ADMIN@example.COM ", "admin", &subject] {
        let answer = search(&tab, term).await?;
        assert_eq!(answer.status, 303, "{term}: {}", answer.body);
        found.push(answer.location().to_owned());
    }
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(tab.open(&found[0]).await?.body.contains(ADMIN));
    Ok(())
}

#[tokio::test]
async fn a_session_is_found_by_its_handle_and_by_its_digest() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.deployment.log_in(HANDLE).await?;
    let tab = stage.operator().await?;
    let session = tab.open("/console/sessions").await?.links("/console/sessions/")[0].clone();
    let digest = session.rsplit('/').next().unwrap_or_default().to_owned();
    for term in [HANDLE, &digest, &digest.to_uppercase()] {
        assert_eq!(search(&tab, term).await?.location(), session, "{term}");
    }
    let by_short = search(&tab, &format!("session={}", &digest[..8])).await?;
    assert_eq!(by_short.links("/console/sessions/"), [session]);
    Ok(())
}

#[tokio::test]
async fn a_part_of_a_name_is_looked_for_in_the_records_and_the_answer_says_how_many() -> anyhow::Result<()> {
    let plan = Plan {
        dex: with_users(Plan::default().dex, 60),
        ..Plan::default()
    };
    let stage = Stage::start_with(plan, json!({})).await?;
    for user in 0..60 {
        stage
            .deployment
            .log_in_as(&format!("handle-{user}"), &email(user))
            .await?;
    }
    let tab = stage.operator().await?;
    let answer = search(&tab, "ser-5@").await?;
    assert_eq!(answer.status, 200);
    let users = answer.links("/console/users/");
    assert_eq!(users.len(), 1, "{}", answer.body);
    assert!(
        answer
            .body
            .contains("All records were examined (60 in this step)"),
        "{}",
        answer.body
    );

    let nothing = search(&tab, "no such name").await?;
    assert!(nothing.body.contains("id=\"nothing\""), "{}", nothing.body);
    assert!(
        nothing.body.contains("All records were examined"),
        "{}",
        nothing.body
    );
    Ok(())
}

#[tokio::test]
async fn a_search_with_many_answers_is_partial_and_goes_on() -> anyhow::Result<()> {
    let plan = Plan {
        dex: with_users(Plan::default().dex, 130),
        ..Plan::default()
    };
    let stage = Stage::start_with(plan, json!({})).await?;
    for user in 0..130 {
        stage
            .deployment
            .log_in_as(&format!("handle-{user}"), &email(user))
            .await?;
    }
    let tab = stage.operator().await?;
    let mut answer = search(&tab, "@example.com").await?;
    let theirs = answer.value_after("name=\"again\" value=\"");
    let other = stage.operator().await?;
    let page = other.open("/console/").await?;
    let refused = other
        .submit(&page, "/console/search", &[("again", &theirs)])
        .await?;
    assert_eq!(refused.status, 400, "a term is sealed for one login");
    let mut users = Vec::new();
    let mut steps = 0;
    loop {
        users.extend(answer.links("/console/users/"));
        steps += 1;
        if !answer.body.contains("id=\"go-on\"") {
            break;
        }
        assert!(answer.body.contains("partial answer"), "{}", answer.body);
        let again = answer.value_after("name=\"again\" value=\"");
        let from = answer.value_after("name=\"from\" value=\"");
        answer = tab
            .submit(&answer, "/console/search", &[("again", &again), ("from", &from)])
            .await?;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert!(steps > 1, "{steps} steps");
    assert_eq!(users.len(), 130);
    Ok(())
}

#[tokio::test]
async fn a_term_that_is_none_and_a_position_that_is_none_are_refused() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let tab = stage.operator().await?;
    let long = "x".repeat(1025);
    for term in [" ", long.as_str()] {
        assert_eq!(search(&tab, term).await?.status, 400, "{} bytes", term.len());
    }
    let page = tab.open("/console/").await?;
    for from in ["x", "lease:1", "session:1"] {
        let fields = [("term", "a name"), ("from", from)];
        let answer = tab.submit(&page, "/console/search", &fields).await?;
        assert_eq!(answer.status, 400, "{from}: {}", answer.body);
    }
    Ok(())
}
