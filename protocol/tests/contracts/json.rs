use proptest::prelude::*;
use serde_json::Value;
use tokenward_protocol::json::{Json, parse, quote};

/// The value as `serde_json` reads it; numbers by their text.
fn as_serde(json: &Json<'_>) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(text) => serde_json::from_str(text).unwrap(),
        Json::Text(text) => Value::String(text.to_string()),
        Json::List(items) => items.iter().map(as_serde).collect(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.to_string(), as_serde(value)))
            .collect(),
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_is_read_as_serde_json_reads_it(value in values(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(as_serde(&parse(text.as_bytes()).unwrap()), value);
    }

    #[test]
    fn what_serde_json_refuses_is_refused_and_the_other_way_round(
        text in r#"[\[\]{}:,"0-9eE.+\-\\u truefalsn/ad8]{0,24}"#,
    ) {
        let theirs = serde_json::from_str::<Value>(&text);
        // Numbers beyond f64 are a matter of representation, which this parser leaves to its caller.
        prop_assume!(!theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")));
        prop_assert_eq!(parse(text.as_bytes()).is_ok(), theirs.is_ok(), "{}", text);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn what_is_quoted_reads_back(text in ".*") {
        let quoted = quote(&text);
        let read = parse(quoted.as_bytes()).unwrap();
        prop_assert_eq!(read.as_text(), Some(text.as_str()));
    }
}

#[test]
fn surrogate_pairs_and_their_halves() {
    assert_eq!(parse(br#""\uD83D\uDE00""#).unwrap().as_text(), Some("\u{1F600}"));
    assert_eq!(parse(br#""\uDBFF\uDFFF""#).unwrap().as_text(), Some("\u{10FFFF}"));
    for half in [r#""\uD83D""#, r#""\uD83D\u0041""#, r#""\uDE00""#, r#""\uD83Dx""#] {
        assert!(parse(half.as_bytes()).is_err(), "{half}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(parse(deep(64).as_bytes()).is_ok());
    assert!(parse(deep(10_000).as_bytes()).is_err());
}

#[test]
fn a_member_that_comes_twice_is_noticed_even_when_escaped() {
    let json = parse(br#"{"exp":1,"\u0065xp":2}"#).unwrap();
    assert!(json.member("exp").is_err());
}

#[test]
fn only_unsigned_digits_are_a_whole_number() {
    for (text, whole) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("-0", None),
        ("1.0", None),
        ("1e3", None),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap().as_whole(), whole, "{text}");
    }
}
