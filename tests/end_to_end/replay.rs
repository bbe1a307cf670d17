//! The replay of the incident meets its promises, and the page that shows it agrees with the measurement.

use tokenward_demo::Screen;
use tokenward_harness::issuer::FakeDex;
use tokenward_harness::parts::tools;
use tokenward_lab_cli::Look;
use tokenward_replay::{self as replay, Column, Pace, Replay};

/// Two columns run concurrently: most of the time they wait for tokens to expire.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_replay_breaks_without_the_filter_and_holds_with_it() -> anyhow::Result<()> {
    let screen = Screen::new(std::io::sink(), Look::plain());
    let pace = Pace::short();
    let one = |column| Box::pin(replay::one::<FakeDex>(pace, column, &screen));
    let (off, unregistered) = tokio::join!(one(Column::Off), one(Column::Unregistered));
    let (on, relay) = tokio::join!(one(Column::On), one(Column::Relay));
    let replay = Replay::new::<FakeDex>(pace, [off?, on?, unregistered?, relay?]);
    assert_eq!(replay.broken(), [] as [String; 0], "{replay:#?}");
    let (off, on) = (&replay.off, &replay.on);
    assert_eq!(
        off.recovery_seconds["admin@example.com"], None,
        "nothing renews her exchanged tokens"
    );
    assert_eq!(on.issuer_calls.logins, 4);
    assert!(on.issuer_calls.refreshes <= 8, "{:?}", on.issuer_calls);
    assert!(
        on.filter_lines.debug > 2 * on.filter_lines.warn,
        "{:?}",
        on.filter_lines
    );
    assert_eq!(on.filter_lines.error, 0);
    assert_eq!(
        off.gateway_refusals + off.control_calls,
        0,
        "no help from the gateway"
    );
    assert_eq!(off.storm.passed_on, off.storm.requests);
    assert!(off.warn_per_pair_minute_max > 2, "{off:#?}");
    assert_eq!(off.requests_of_2026 + on.requests_of_2026, 0);
    Ok(())
}

#[test]
fn the_pages_show_the_stored_run_and_the_plot_is_drawn_from_it() -> anyhow::Result<()> {
    let read = |name: &str| std::fs::read_to_string(tools::workspace().join(name));
    let stored: Replay = serde_json::from_str(&read("docs/replay/replay.json")?)?;
    assert_eq!(stored.broken(), [] as [String; 0]);
    let table = replay::markdown(&stored);
    assert!(read("docs/replay/README.md")?.contains(&table), "{table}");
    let readme = read("README.md")?;
    for counted in [
        "| counted |",
        "| requests that reached a server",
        "| tool calls that failed",
        "| WARN lines in the worst",
    ] {
        let row = table.lines().find(|row| row.starts_with(counted));
        let row = row.unwrap_or_else(|| panic!("{counted} {table}"));
        assert!(readme.contains(row), "README.md lacks {row}");
    }
    assert_eq!(read("docs/replay/replay.svg")?, replay::svg(&stored));
    Ok(())
}
