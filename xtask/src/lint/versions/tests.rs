use super::disagreements;

const CHART: &str = "apiVersion: v2\nname: tokenward\nversion: 0.1.0\nappVersion: \"0.1.0\"\n";
const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n\n- Everything.\n";

#[test]
fn one_version_everywhere_is_no_problem() {
    assert_eq!(disagreements("0.1.0", CHART, CHANGELOG), Vec::<String>::new());
}

#[test]
fn each_place_with_another_version_is_named() {
    assert_eq!(
        disagreements("0.2.0", CHART, CHANGELOG),
        [
            "envoy/chart/Chart.yaml: version is 0.1.0",
            "envoy/chart/Chart.yaml: appVersion is 0.1.0",
            "CHANGELOG.md: the newest release is 0.1.0",
        ]
    );
}

#[test]
fn a_missing_version_a_missing_day_and_an_empty_section_are_named() {
    assert_eq!(
        disagreements("0.1.0", "version: 0.1.0\n", "## [0.1.0]\n"),
        [
            "envoy/chart/Chart.yaml: appVersion is missing",
            "CHANGELOG.md: the heading is not `## [0.1.0] - YYYY-MM-DD`",
            "CHANGELOG.md: nothing below [0.1.0]",
        ]
    );
    assert_eq!(
        disagreements("0.1.0", CHART, "# Changelog\n"),
        ["CHANGELOG.md: the newest release is missing"]
    );
}
