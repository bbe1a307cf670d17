//! `Date` headers as Unix time.

use super::http_date_seconds;

#[test]
fn a_date_is_read_to_the_second_and_any_other_text_is_not_a_date() {
    let cases = [
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
        ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
        ("Fri, 31 Dec 2100 23:59:59 GMT", Some(4_133_980_799)),
        ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ("Sun, 06 Nov 1994 08:49 GMT", None),
        ("Sun, 06 Nix 1994 08:49:37 GMT", None),
        ("now", None),
        ("", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(http_date_seconds(text), seconds, "{text}");
    }
}
