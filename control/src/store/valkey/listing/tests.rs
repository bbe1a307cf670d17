use redis::Value;

use super::{Cursor, Position, names, pattern, primaries, scan_reply};

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

#[test]
fn a_position_round_trips_through_its_cursor_and_other_texts_are_rejected() {
    let position = Position {
        slot: 5461,
        cursor: u64::MAX,
    };
    assert_eq!(Position::decode(Some(&position.into())), Ok(position));
    assert_eq!(Position::decode(None), Ok(Position::default()));
    for text in [
        "",
        "-",
        "1",
        "a-1",
        "1-a",
        "65536-1",
        "-1-1",
        "1-18446744073709551616",
    ] {
        assert!(
            Position::decode(Some(&Cursor(text.to_owned()))).is_err(),
            "{text:?}"
        );
    }
}

#[test]
fn a_prefix_with_wildcards_matches_itself_only() {
    assert_eq!(pattern("a*[b]?\\{g:"), "a\\*\\[b\\]\\?\\\\{g:*");
}

#[test]
fn a_scan_reply_is_a_cursor_and_keys_without_foreign_keys() {
    let digest = "00".repeat(32);
    let encoded = format!("t:{{s:{}}}", super::super::compact::encode(&digest));
    let keys = vec![
        text(&encoded),
        text("t:{s:a}"),
        text("t:{s:a"),
        Value::BulkString(vec![0xff]),
    ];
    let (cursor, keys) =
        scan_reply(Value::Array(vec![text("17"), Value::Array(keys)])).expect("a scan reply");
    assert_eq!(cursor, 17);
    assert_eq!(names(keys, "t:{s:").collect::<Vec<_>>(), [digest.as_str(), "a"]);
    for reply in [
        Value::Nil,
        Value::Array(Vec::new()),
        Value::Array(vec![text("x"), Value::Array(Vec::new())]),
        Value::Array(vec![text("1"), text("")]),
    ] {
        assert!(scan_reply(reply.clone()).is_err(), "{reply:?}");
    }
}

#[test]
fn each_primary_is_visited_at_its_lowest_slot() {
    let node = |port: i64| {
        Value::Array(vec![
            text("127.0.0.1"),
            Value::Int(port),
            text(&format!("id{port}")),
        ])
    };
    let range = |from: i64, to: i64, port: i64| {
        Value::Array(vec![
            Value::Int(from),
            Value::Int(to),
            node(port),
            node(port + 100),
        ])
    };
    let reply = Value::Array(vec![
        range(9000, 16383, 2),
        range(0, 99, 1),
        range(100, 199, 2),
        range(200, 8999, 1),
    ]);
    assert_eq!(primaries(&reply), Ok(vec![0, 100]));
    assert!(primaries(&Value::Nil).is_err());
    assert!(primaries(&Value::Array(vec![Value::Nil])).is_err());
}
