//! docs/scale.md shows the stored runs.

use std::path::Path;

use serde_json::Value;

/// The files of the stored runs, with the name of each on the page.
const RUNS: [(&str, &str); 4] = [
    ("1e4.json", "10⁴"),
    ("1e4-one-envoy.json", "10⁴, one Envoy"),
    ("1e5.json", "10⁵"),
    ("1e5-raised.json", "10⁵, 300/s"),
];

fn docs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn stored(name: &str) -> Value {
    let file = docs().join("scale").join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn number(run: &Value, pointer: &str) -> u64 {
    let value = run.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{pointer} is no number"))
}

/// A number with its thousands apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut apart = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// The rows of the two tables for a run.
fn rows(name: &str, run: &Value) -> [String; 2] {
    let of = |pointers: &[&str]| -> String {
        let sum = pointers.iter().map(|pointer| number(run, pointer)).sum();
        thousands(sum)
    };
    let calls = [
        "/sum/calls_stale",
        "/sum/calls_near_expiry",
        "/sum/calls_rejected",
    ];
    let operations = ["/sum/store_reads", "/sum/store_writes", "/sum/store_leases"];
    let fresh = match run["fresh_after_seconds"].as_u64() {
        Some(seconds) => format!("{} s", thousands(seconds)),
        None => "not within the hour".to_owned(),
    };
    let sums = [
        of(&["/sum/requests"]),
        of(&calls),
        of(&["/sum/polls"]),
        of(&["/sum/refreshes"]),
        of(&["/sum/exchanges"]),
        of(&operations),
        of(&["/sum/refused_503"]),
        of(&["/sum/warn_filter"]),
        of(&["/sum/warn_control"]),
    ];
    let kib = |pointer: &str| format!("{} KiB", thousands(number(run, pointer) / 1024));
    let peaks = [
        of(&["/peaks/requests"]),
        of(&["/peaks/calls"]),
        of(&["/peaks/refreshes"]),
        of(&["/peaks/exchanges"]),
        of(&["/peaks/store_operations"]),
        fresh,
        kib("/memory/mean_of_a_worker"),
        kib("/memory/most_at_any_time"),
    ];
    [
        format!("| {name} | {} |", sums.join(" | ")),
        format!("| {name} | {} |", peaks.join(" | ")),
    ]
}

#[test]
fn the_page_shows_the_stored_runs() {
    let page = std::fs::read_to_string(docs().join("scale.md")).expect("docs/scale.md");
    let wanted: Vec<String> = RUNS
        .iter()
        .flat_map(|(file, name)| rows(name, &stored(file)))
        .collect();
    let missing: Vec<&String> = wanted.iter().filter(|row| !page.contains(*row)).collect();
    assert!(
        missing.is_empty(),
        "docs/scale.md lacks these rows:\n{missing:#?}"
    );
}

#[test]
fn the_stored_runs_kept_every_promise() {
    for (file, _) in RUNS {
        let run = stored(file);
        let broken = run["broken"].as_object().expect("promises");
        assert!(broken.is_empty(), "{file}: {broken:?}");
        assert_eq!(number(&run, "/options/minutes"), 60, "{file}");
        assert_eq!(run["digest"].as_str().map(str::len), Some(64), "{file}");
        assert_eq!(run["minutes"].as_array().map(Vec::len), Some(60), "{file}");
    }
}
