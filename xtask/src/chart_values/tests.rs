//! Values and their comments become rows of the README.

use super::{BEGIN, END, IN_THE_FILE, Row, sections, with_table};

const VALUES: &str = "# Of the whole file.

image:
  repository: tokenward
  # The chart's version, unless
  # a tag is given.
  tag: \"\"
# ------------ the Deployment

# The issuers:
# - issuer: https://dex.example.com
#   # with a secret
issuers: []
network:
  # Callers: a|b
  # name: {one: two}
  from:
  - {a: b}
  - {c: d}
  to: {}
";

fn row(path: &str, default: &str, text: &str) -> Row {
    Row {
        path: path.to_owned(),
        default: default.to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn each_value_has_its_path_its_default_and_its_comment_without_examples() {
    let read = sections(VALUES);
    assert_eq!(read.len(), 2);
    assert_eq!(read[1].title, "The Deployment");
    assert_eq!(
        read[0].rows,
        [
            row("image.repository", "tokenward", ""),
            row("image.tag", "\"\"", "The chart's version, unless a tag is given."),
        ]
    );
    assert_eq!(
        read[1].rows,
        [
            row("issuers", "[]", "The issuers."),
            row("network.from", IN_THE_FILE, "Callers: a|b"),
            row("network.to", "{}", ""),
        ]
    );
}

#[test]
fn the_table_is_put_between_its_marks_and_nothing_else_changes() {
    let readme = format!("before\n{BEGIN}old\n{END}after\n");
    let (written, values) = with_table(&readme, VALUES).expect("it has marks");
    assert_eq!(values, 5);
    assert!(
        written.starts_with(&format!("before\n{BEGIN}\n| value")),
        "{written}"
    );
    assert!(written.ends_with(&format!("\n{END}after\n")), "{written}");
    assert!(
        written.contains("| `network.from` | *see values.yaml* | Callers: a\\|b |"),
        "{written}"
    );
    assert!(!written.contains("old"), "{written}");
    let (again, _) = with_table(&written, VALUES).expect("it has marks");
    assert_eq!(again, written);
    assert!(with_table("no marks", VALUES).is_err());
}
