use super::notes;

const CHANGELOG: &str = "\
# Changelog

## [Unreleased]

- Not in any notes.

## [0.1.0] - 2026-12-01

- The first ([login](docs/login.md)).
";

#[test]
fn the_notes_are_the_versions_section_with_the_charts_address() {
    let text = notes(CHANGELOG, "0.1.0", "registry.example.com/x", Some("sha256:abc")).expect("notes");
    assert!(
        text.starts_with("- The first ([login](../blob/v0.1.0/docs/login.md)).\n\n## Install\n"),
        "{text}"
    );
    assert!(text.contains("oci://registry.example.com/x/charts/tokenward --version 0.1.0"));
    assert!(text.contains("`sha256:abc`"));
    assert!(!text.contains("Not in any notes"));
}

#[test]
fn without_a_chart_the_notes_have_no_installation() {
    let text = notes(CHANGELOG, "0.1.0", "registry.example.com/x", None).expect("notes");
    assert!(
        !text.contains("## Install") && text.contains("## Verify"),
        "{text}"
    );
}

#[test]
fn a_version_without_a_section_has_no_notes() {
    let error = notes(CHANGELOG, "0.2.0", "registry.example.com/x", None).expect_err("no section");
    assert_eq!(error.to_string(), "CHANGELOG.md has no section [0.2.0]");
}
