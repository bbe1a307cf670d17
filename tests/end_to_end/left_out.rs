//! What is left out says so to whoever runs the tests, also where the runner keeps the output of good tests to itself.

use std::process::Command;

#[test]
fn a_story_that_is_left_out_says_so_although_its_test_is_good() -> anyhow::Result<()> {
    // Nothing is on this PATH: no Node and no Python, so no SDKs.
    let run = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "real_mcp::dead::while_waiting_helps_no_sdk_throws_its_login_away",
        ])
        .env("PATH", "")
        .output()?;
    let said = String::from_utf8(run.stdout)?;
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
    let lines = said.matches("left out: the SDKs at 503: ").count();
    assert_eq!(lines, 1, "{said}");
    Ok(())
}
