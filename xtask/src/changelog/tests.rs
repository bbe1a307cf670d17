use super::{Section, newest_release, sections};

const CHANGELOG: &str = "\
# Changelog

Words about the format.

## [Unreleased]

### Added

- Not released yet.

## [0.2.0] - 2026-12-24

### Added

- A page.

## [0.1.0] - 2026-12-01

The first release.
";

#[test]
fn a_section_is_a_version_with_its_day_and_everything_below() {
    let found = sections(CHANGELOG);
    assert_eq!(found.len(), 3);
    assert_eq!(
        found[0],
        Section {
            version: "Unreleased",
            date: None,
            text: "### Added\n\n- Not released yet."
        }
    );
    assert_eq!(
        found[2],
        Section {
            version: "0.1.0",
            date: Some("2026-12-01"),
            text: "The first release."
        }
    );
}

#[test]
fn the_newest_release_is_the_first_that_is_not_unreleased() {
    let newest = newest_release(CHANGELOG).expect("a release");
    assert_eq!((newest.version, newest.date), ("0.2.0", Some("2026-12-24")));
    assert_eq!(newest_release("# Changelog\n\n## [Unreleased]\n"), None);
}

#[test]
fn what_is_no_day_is_no_date() {
    for heading in [
        "2026-13-01",
        "2026-12-32",
        "26-12-01",
        "soon",
        "2026-12-01 or so",
        "",
    ] {
        let text = format!("## [0.1.0] - {heading}\n");
        assert_eq!(sections(&text)[0].date, None, "{heading}");
    }
    assert_eq!(sections("## [0.1.0]\n")[0].date, None);
}
