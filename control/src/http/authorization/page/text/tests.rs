use super::{cut, shown};

#[test]
fn what_turns_text_around_or_is_invisible_is_not_shown() {
    assert_eq!(shown("a\u{202e}b\u{2066}c\u{200b}d\u{7}\r\ne"), "abcd e");
}

#[test]
fn a_long_text_is_cut_and_says_so() {
    assert_eq!(cut("abcdef", 3), "abc…");
    assert_eq!(cut("abc", 3), "abc");
    assert_eq!(shown(&"é".repeat(1000)).chars().count(), 101);
}

#[test]
fn marks_do_not_pile_up() {
    let pile = format!("a{}b", "\u{301}".repeat(50));
    assert_eq!(shown(&pile), "a\u{301}\u{301}b");
}
