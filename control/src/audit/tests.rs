//! Lines are whole, in order, and survive a rotation of their file.

use tempfile::TempDir;

use super::{AuditLog, AuditTarget, line};
use crate::activity::{Event, EventKind, User};
use crate::observe::metrics::Metrics;

fn event(number: u64) -> Event {
    Event {
        count: Some(number),
        ..Event::new(EventKind::SignOut, 1_800_000_000_123)
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|line| line["count"].as_u64())
        .collect()
}

#[tokio::test]
async fn lines_are_appended_in_order_and_a_rotated_file_is_opened_again() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let (path, moved) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
    std::fs::write(&path, "an earlier line\n")?;
    let log = AuditLog::open(&AuditTarget::File(path.clone()), &Metrics::default().activity)?;
    for number in 0..100 {
        log.write(&event(number));
    }
    log.flush().await;
    std::fs::rename(&path, &moved)?;
    for number in 100..150 {
        log.write(&event(number));
    }
    log.flush().await;
    let before = std::fs::read_to_string(&moved)?;
    assert!(before.starts_with("an earlier line\n"));
    assert_eq!(numbers(&before), (0..100).collect::<Vec<_>>());
    let after = std::fs::read_to_string(&path)?;
    assert_eq!(numbers(&after), (100..150).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_written_is_counted_and_stops_nothing() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let inner = folder.path().join("logs");
    std::fs::create_dir(&inner)?;
    let path = inner.join("audit.log");
    let metrics = Metrics::default().activity;
    let log = AuditLog::open(&AuditTarget::File(path.clone()), &metrics)?;
    std::fs::remove_dir_all(&inner)?;
    log.write(&event(1));
    log.flush().await;
    assert_eq!(metrics.dropped_counter("audit").get(), 1);
    std::fs::create_dir(&inner)?;
    log.write(&event(2));
    log.flush().await;
    assert_eq!(numbers(&std::fs::read_to_string(&path)?), [2]);
    assert_eq!(metrics.dropped_counter("audit").get(), 1);
    Ok(())
}

#[test]
fn a_line_is_one_object_whatever_a_name_contains() {
    let hostile = "Mallory\"}\n{\"kind\":\"login\u{2028}\u{1b}[31m";
    let user = User {
        issuer: "https://dex.example.com".to_owned(),
        subject: "42".to_owned(),
        email: None,
        name: Some(crate::activity::event::bounded(hostile)),
    };
    let event = Event {
        server: Some("kubernetes".to_owned()),
        ..Event::new(EventKind::RefusalBegan, 1_800_000_000_123)
            .verified_user(Some(user))
            .refused("needs_login", "", "log in again")
    };
    let text = line::of(&event);
    assert_eq!(text.matches('\n').count(), 1);
    assert!(!text.contains('\u{1b}'));
    let read: serde_json::Value = serde_json::from_str(&text).expect("a JSON object");
    assert_eq!(
        (&read["time"], &read["target"], &read["kind"], &read["outcome"]),
        (
            &"2027-01-15T08:00:00.123Z".into(),
            &"audit".into(),
            &"refusal_began".into(),
            &"needs_login".into()
        )
    );
    assert_eq!(read["user"]["verified"], true);
    assert!(read.get("cause").is_none(), "{read}");
}
