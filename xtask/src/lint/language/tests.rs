use super::{Found, comments, look, prose, reader};

fn words_of(found: &Found) -> Vec<(usize, &str)> {
    found
        .never
        .iter()
        .filter_map(|(line, what)| Some((*line, what.split('"').nth(1)?)))
        .collect()
}

#[test]
fn a_word_is_found_in_comments_and_not_in_code() {
    let text = "//! Nobody acts.\nlet nobody = \"for ever\"; // It lasts for ever.\n/// `nobody` is code, mending is another word.\n";
    let found = look("a.rs", &comments(text));
    assert_eq!(words_of(&found), [(1, "nobody"), (2, "for ever")]);
}

#[test]
fn a_document_is_read_without_its_code() {
    let text = "The caller asks.\n```yaml\nnobody: who\n```\nWho asked? `told`\n";
    let found = look("a.md", &prose(text));
    assert_eq!((found.words, found.seldom), (5, 3));
    assert_eq!(found.never, []);
}

#[test]
fn an_address_is_no_comment() {
    assert_eq!(comments("let url = \"http://anew\";"), []);
}

#[test]
fn only_files_with_prose_are_read() {
    for path in [
        "a/b.rs",
        "docs/a.md",
        "envoy/chart/values.yaml",
        "envoy/chart/templates/NOTES.txt",
    ] {
        assert!(reader(path).is_some(), "{path}");
    }
    for path in ["a.json", "a.lock", "xtask/src/lint/language.rs"] {
        assert!(reader(path).is_none(), "{path}");
    }
}
