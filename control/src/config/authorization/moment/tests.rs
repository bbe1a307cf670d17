//! Dates and times as Unix seconds.

use super::unix_seconds;

#[test]
fn a_date_and_time_is_read_to_the_second_and_any_other_text_is_none() {
    let cases = [
        ("0", Some(0)),
        ("1796068800", Some(1_796_068_800)),
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T12:00:00Z", Some(951_825_600)),
        ("2000-03-01T00:00:00z", Some(951_868_800)),
        ("1994-11-06 08:49:37.999Z", Some(784_111_777)),
        ("2100-12-31T23:59:59Z", Some(4_133_980_799)),
        ("2000-02-29T14:00:00+02:00", Some(951_825_600)),
        ("2000-02-29T06:30:00-05:30", Some(951_825_600)),
        ("1970-01-01T00:00:00+00:01", None),
        ("1969-12-31T23:59:59Z", None),
        ("2100-02-29T00:00:00Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-00-01T00:00:00Z", None),
        ("2026-01-00T00:00:00Z", None),
        ("2026-01-01T24:00:00Z", None),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01T00:00Z", None),
        ("2026-01-01T00:00:00.Z", None),
        ("2026-01-01", None),
        ("-5", None),
        ("yesterday", None),
        ("", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(unix_seconds(text), seconds, "{text}");
    }
}
