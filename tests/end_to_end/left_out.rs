//! A test that is left out reports it on the terminal, also where the runner hides the output of passing tests.

use std::process::Command;

#[test]
fn a_story_that_is_left_out_is_reported_although_its_test_passes() -> anyhow::Result<()> {
    // Nothing is on this PATH: no Node and no Python, so no SDKs.
    let run = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "real_mcp::dead::while_waiting_helps_no_sdk_throws_its_login_away",
        ])
        .env("PATH", "")
        .output()?;
    let output = String::from_utf8(run.stdout)?;
    assert!(run.status.success() && output.contains("1 passed"), "{output}");
    let lines = output.matches("left out: the SDKs at 503: ").count();
    assert_eq!(lines, 1, "{output}");
    Ok(())
}
