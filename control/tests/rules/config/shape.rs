//! Faults of the shape beside faults of values.

use super::{Folder, GOOD, parse};

#[test]
fn a_fault_of_the_shape_does_not_hide_the_faults_of_values() {
    let folder = Folder::new();
    let values = "margin: 3h\nlease: 10m\ncaller_deadline: 60s";
    let no_credentials = GOOD
        .lines()
        .filter(|line| !line.starts_with("credentials"))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let rows = [
        (no_credentials, "credentials is missing"),
        (
            GOOD.replace(
                "aggregator: {file: DIR/aggregator}",
                "agregator: {file: DIR/aggregator}",
            ),
            "did you mean aggregator?",
        ),
        (
            GOOD.replace(
                "sealing: {current: {id: k1, key: {file: DIR/key}}}",
                "sealing: k1",
            ),
            "sealing must be a map",
        ),
        (
            GOOD.replace("store: {embedded: {path: DIR/db}}", "stores: {}"),
            "did you mean store?",
        ),
    ];
    for (yaml, fault) in rows {
        let problems = parse(&folder, &yaml.replace("margin: 30s", values)).expect_err(fault);
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        for what in [
            fault,
            "margin must be shorter than 900s",
            "lease must be shorter than 60s",
            "caller_deadline must be shorter than 60s",
        ] {
            assert_eq!(
                texts.iter().filter(|text| text.contains(what)).count(),
                1,
                "{what}: {texts:?}"
            );
        }
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert!(problems.iter().all(|problem| problem.line > 0), "{texts:?}");
    }
}
