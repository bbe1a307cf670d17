//! The figures of docs/benchmarks/README.md and of README.md are those of the runs that are stored beside the former.

use serde_json::Value;
use tokenward_harness::parts::tools;

/// The configurations in the page's table of the data path.
const LANES: [&str; 13] = [
    "installed",
    "fresh",
    "fresh_annotated",
    "replaced",
    "exchange",
    "swapped",
    "gated",
    "bare",
    "lua",
    "jwt_authn_cached",
    "jwt_authn",
    "ext_authz",
    "oauth2",
];

fn stored(name: &str) -> Value {
    let file = tools::workspace().join("docs/benchmarks").join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn document(path: &str) -> String {
    std::fs::read_to_string(tools::workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn two_decimals(number: &Value) -> String {
    format!(
        "{:.2}",
        number.as_f64().unwrap_or_else(|| panic!("{number} is no number"))
    )
}

/// The end of a row of the page's table, as it must be.
fn row(run: &Value, lane: &str) -> String {
    let row = row_of(run, lane);
    let range = |ends: &Value| format!("{}–{}", two_decimals(&ends[0]), two_decimals(&ends[1]));
    format!(
        "(`{lane}`) | {} | {} | {} | {} | {} |",
        two_decimals(&row["added_ratio_to_floor"]),
        range(&row["added_ratio_interval"]),
        range(&row["added_ratio_quartiles"]),
        two_decimals(&row["added_ratio_to_bare"]),
        two_decimals(&row["by_h2load"]["added_ratio_to_floor"]),
    )
}

fn row_of<'a>(run: &'a Value, lane: &str) -> &'a Value {
    let rows = run["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == lane);
    row.unwrap_or_else(|| panic!("the stored run has no {lane}"))
}

const PAGE: &str = "docs/benchmarks/README.md";

#[test]
fn the_page_shows_the_data_path_as_the_stored_run_has_it() {
    let (page, run) = (document(PAGE), stored("data-path.json"));
    let wanted: Vec<String> = LANES.iter().map(|lane| row(&run, lane)).collect();
    let missing: Vec<&String> = wanted.iter().filter(|row| !page.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "\"Results\" in {PAGE} does not have these ends of rows:\n{missing:#?}"
    );
}

#[test]
fn the_readme_repeats_ratios_of_the_stored_run() {
    let run = stored("data-path.json");
    let ratio = |lane: &str, to: &str| two_decimals(&row_of(&run, lane)[to]);
    let expected = [
        format!(
            "the filter as the chart installs it adds {} times",
            ratio("installed", "added_ratio_to_floor")
        ),
        format!(
            "an `ext_authz` call {} times",
            ratio("ext_authz", "added_ratio_to_floor")
        ),
        format!(
            "of one without an SDK, a fresh token {} times",
            ratio("fresh", "added_ratio_to_bare")
        ),
    ];
    let readme = document("README.md").replace('\n', " ");
    for sentence in &expected {
        assert!(readme.contains(sentence), "README.md lacks {sentence:?}");
    }
}

/// Nothing of the path that is installed, and of the other load generator, was left out of the run that is published.
#[test]
fn the_stored_run_of_the_data_path_left_nothing_out() {
    let run = stored("data-path.json");
    assert!(run.get("left_out").is_none(), "{}", run["left_out"]);
    let program = run["second_load"]["program"].as_str().expect("a program");
    assert!(program.starts_with("h2load"), "{program}");
    assert_eq!(row_of(&run, "installed")["floor"], "installed_floor");
    assert_eq!(row_of(&run, "gated")["base"], "direct_response");
}

#[test]
fn the_page_shows_memory_as_the_stored_run_has_it() {
    let (page, run) = (document(PAGE), stored("memory.json"));
    let memory = &run["memory"];
    assert_eq!(memory["flat"], true);
    let expected = format!(
        "grew by {} KiB over the last quarter of {} sessions",
        memory["growth_kib_after_warm_up"], memory["sessions"]
    );
    assert!(page.contains(&expected), "{PAGE} lacks {expected:?}");
    let budgets = run["budgets"].as_array().expect("budgets");
    let measured = |what: &str| {
        let budget = budgets.iter().find(|budget| budget["what"] == what);
        two_decimals(&budget.unwrap_or_else(|| panic!("no budget of {what}"))["measured"])
    };
    let expected = format!(
        "a fresh request costs {} times that of one server and one session, and the filter's own part is {} times",
        measured("fresh request, many servers and sessions / one"),
        measured("added by fresh, many servers and sessions / one"),
    );
    assert!(
        page.replace('\n', " ").contains(&expected),
        "{PAGE} lacks {expected:?}"
    );
    for (what, name) in [
        ("a session", "bytes_per_session"),
        ("one more server of a session", "bytes_per_further_pair"),
        ("a session with a stale token", "bytes_per_replaced_session"),
        ("a stream that waits for its server", "bytes_per_stream"),
    ] {
        let bytes = memory["each"][name]["added"].as_f64().expect("bytes");
        let expected = format!("{what} {bytes:.0} bytes");
        assert!(
            page.replace('\n', " ").contains(&expected),
            "{PAGE} lacks {expected:?}"
        );
    }
}

#[test]
fn the_stored_runs_were_undisturbed_and_state_what_they_measured() {
    for (name, benchmark) in [("data-path.json", "data-path"), ("memory.json", "memory")] {
        let run = stored(name);
        assert_eq!(run["benchmark"], benchmark);
        assert_eq!(run["undisturbed"], true, "{name}");
        for field in ["cpu_model", "cores", "envoy_version", "module"] {
            assert!(!run["machine"][field].is_null(), "{name} lacks {field}");
        }
        for row in run["rows"].as_array().expect("rows") {
            let rounds = row["cpu_us_rounds"]
                .as_array()
                .expect("a value for each round")
                .len();
            assert_eq!(run["rounds"], rounds, "{name}: {}", row["name"]);
            assert!(rounds >= 12, "{name}: only {rounds} rounds");
            for field in ["name", "cpu_us_min", "cpu_us_median"] {
                assert!(!row[field].is_null(), "{name}: {row}");
            }
        }
    }
}
