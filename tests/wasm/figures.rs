//! The figures of docs/benchmarks/README.md and of README.md are those of the runs that are stored beside the former.

use serde_json::Value;
use tokenward_harness::parts::tools;

/// The configurations in the page's table of the data path.
const LANES: [&str; 8] = [
    "fresh",
    "fresh_annotated",
    "replaced",
    "exchange",
    "gated",
    "jwt_authn_cached",
    "jwt_authn",
    "ext_authz",
];

fn kept(name: &str) -> Value {
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
    let rows = run["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == lane);
    let row = row.unwrap_or_else(|| panic!("the kept run has no {lane}"));
    let quartiles = &row["added_ratio_quartiles"];
    format!(
        "(`{lane}`) | {} | {}–{} | {} |",
        two_decimals(&row["added_ratio_to_floor"]),
        two_decimals(&quartiles[0]),
        two_decimals(&quartiles[1]),
        two_decimals(&row["added_min_ratio_to_floor"]),
    )
}

const PAGE: &str = "docs/benchmarks/README.md";

#[test]
fn the_page_shows_the_data_path_as_the_stored_run_has_it() {
    let (page, run) = (document(PAGE), kept("data-path.json"));
    let wanted: Vec<String> = LANES.iter().map(|lane| row(&run, lane)).collect();
    let missing: Vec<&String> = wanted.iter().filter(|row| !page.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "\"Results\" in {PAGE} does not have these ends of rows:\n{missing:#?}"
    );
}

#[test]
fn the_readme_repeats_two_ratios_of_the_stored_run() {
    let run = kept("data-path.json");
    let ratio = |lane: &str| {
        let rows = run["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["name"] == lane).expect("a row");
        two_decimals(&row["added_ratio_to_floor"])
    };
    let expected = [
        format!(
            "A fresh token costs {} times what a wasm filter costs",
            ratio("fresh")
        ),
        format!("an `ext_authz` call {} times", ratio("ext_authz")),
    ];
    let readme = document("README.md");
    for sentence in &expected {
        assert!(readme.contains(sentence), "README.md lacks {sentence:?}");
    }
}

#[test]
fn the_page_shows_memory_as_the_stored_run_has_it() {
    let (page, run) = (document(PAGE), kept("memory.json"));
    let memory = &run["memory"];
    assert_eq!(memory["flat"], true);
    let expected = format!(
        "grew by {} KiB over the last three quarters of {} sessions",
        memory["growth_kib_after_warm_up"], memory["sessions"]
    );
    assert!(page.contains(&expected), "{PAGE} lacks {expected:?}");
}

#[test]
fn the_kept_runs_were_undisturbed_and_say_what_they_measured() {
    for (name, benchmark) in [("data-path.json", "data-path"), ("memory.json", "memory")] {
        let run = kept(name);
        assert_eq!(run["benchmark"], benchmark);
        assert_eq!(run["undisturbed"], true, "{name}");
        for field in ["cpu_model", "cores", "envoy_version", "module"] {
            assert!(!run["machine"][field].is_null(), "{name} says nothing of {field}");
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
