use std::time::Duration;

use tokenward_protocol::duration::parse_duration;

#[test]
fn a_whole_number_and_a_unit_is_a_span() {
    for (text, ms) in [
        ("0s", 0),
        ("500ms", 500),
        ("60s", 60_000),
        ("5m", 300_000),
        ("168h", 604_800_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
}

#[test]
fn everything_else_is_refused_and_the_message_says_how_to_write_it() {
    for text in [
        "",
        "60",
        "s",
        "1.5s",
        "-1s",
        "+1s",
        " 1s",
        "1 s",
        "1d",
        "1S",
        "99999999999999999999s",
        "100000000h",
        "1s1s",
        "١s",
    ] {
        let error = parse_duration(text).expect_err(text).to_string();
        assert!(error.contains("60s"), "{error}");
    }
}
