//! How terms are read.

use super::SearchTerm;

fn digest(text: &str) -> Option<String> {
    SearchTerm::new(text).and_then(|term| term.digest())
}

#[test]
fn a_digest_is_found_as_a_log_line_has_it() {
    for text in ["0f86f317", " 0F86F317 ", "pair=0f86f317", "session=\"0f86f317\""] {
        assert_eq!(digest(text).as_deref(), Some("0f86f317"), "{text}");
    }
    assert_eq!(digest(&"a".repeat(64)), Some("a".repeat(64)));
}

#[test]
fn other_texts_are_names() {
    for text in [
        "alice@example.com",
        "0f86f31",
        "0f86f31g",
        "pair=",
        "deadbeef cafe",
    ] {
        assert_eq!(digest(text), None, "{text}");
    }
    let term = SearchTerm::new("  Alice@Example.COM ").map(|term| term.name());
    assert_eq!(term.as_deref(), Some("alice@example.com"));
}

#[test]
fn an_empty_or_endless_term_is_none() {
    assert_eq!(SearchTerm::new("   "), None);
    assert_eq!(SearchTerm::new(&"x".repeat(1025)), None);
}
