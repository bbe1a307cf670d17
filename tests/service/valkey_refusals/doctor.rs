//! The doctor tries a real write, names what is in the way with its fix, and leaves nothing behind.

use serde_json::json;
use tokenward_control::doctor::{Check, CheckOutcome, Report, examine};
use tokenward_harness::parts::Valkey;

use super::acl::documented;
use super::{PASSWORD, USER, expect_ok, set_user, with_user};
use crate::deployment::{Deployment, Plan};

async fn examined(valkey: &Valkey) -> anyhow::Result<Report> {
    let deployment = Deployment::start(Plan {
        secrets: vec![("valkey".to_owned(), PASSWORD.to_owned())],
        ..Plan::default()
    })
    .await?;
    let config = deployment.changed(|document| {
        document["store"] =
            json!({"valkey": {"url": valkey.url(), "username": USER, "password": {"file": "@valkey"}}});
    })?;
    Ok(examine(&config).await)
}

fn writes(report: &Report) -> &Check {
    report
        .checks
        .iter()
        .find(|check| check.name == "store (valkey)")
        .unwrap_or_else(|| panic!("no trial:\n{report}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_writes_is_good_and_empty_afterwards() -> anyhow::Result<()> {
    let rules = documented()?;
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let valkey = with_user(&rules).await?;
    let report = examined(&valkey).await?;
    assert_eq!(writes(&report).outcome, CheckOutcome::Ok, "{report}");
    assert_eq!(valkey.command(&["DBSIZE"]).await?, ":0\r\n");

    let without_info: Vec<&str> = rules.iter().copied().filter(|rule| *rule != "+info").collect();
    set_user(&valkey, &without_info).await?;
    let report = examined(&valkey).await?;
    let check = writes(&report);
    assert!(
        check.outcome == CheckOutcome::Warn && check.finding.contains("INFO"),
        "{report}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_written_to_fails_with_the_fix() -> anyhow::Result<()> {
    let valkey = with_user(&["~tokenward:*", "+@all"]).await?;
    let rows: [(&[&str], &str, &str); 4] = [
        (&["CONFIG", "SET", "maxmemory", "1"], "(OOM)", "raise maxmemory"),
        (&["CONFIG", "SET", "maxmemory", "0"], "takes writes", ""),
        (
            &["ACL", "SETUSER", USER, "-script|load"],
            "the command script|load (NOPERM)",
            "docs/configuration.md",
        ),
        (
            &["ACL", "SETUSER", USER, "resetkeys", "~other:*"],
            "(NOPERM)",
            "docs/configuration.md",
        ),
    ];
    for (change, says, cure) in rows {
        expect_ok(&valkey, change).await?;
        expect_ok(&valkey, &["SCRIPT", "FLUSH"]).await?;
        let report = examined(&valkey).await?;
        let check = writes(&report);
        assert!(
            check.finding.contains(says) && check.hint.contains(cure),
            "{report}"
        );
        assert_eq!(check.outcome == CheckOutcome::Ok, cure.is_empty(), "{report}");
    }
    Ok(())
}
