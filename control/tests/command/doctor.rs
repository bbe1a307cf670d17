//! `tokenward doctor`: its exit code, its table, its JSON, and no secret in them.

use super::{Folder, text, tokenward};

#[test]
fn an_invalid_configuration_fails_with_every_problem_and_its_hint() {
    let folder = Folder::new();
    let config = folder
        .config("margin: soon\ncaller_deadline: 0s\n")
        .display()
        .to_string();
    let output = tokenward(&["doctor", "--config", &config]);
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert_eq!(table.matches("FAIL  config").count(), 2, "{table}");
    assert!(
        table.contains("line 7, column 9") && table.contains("→ "),
        "{table}"
    );
    let output = tokenward(&["doctor", "--json", "--config", "/nowhere/at/all.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["outcome"], "fail");
}

#[test]
fn an_unreachable_issuer_fails_and_no_secret_is_printed() {
    let folder = Folder::new();
    let config = folder.config("");
    let there = std::fs::read_to_string(&config).expect("the configuration");
    // Port 9 of the loopback, on which no process listens.
    folder.write(
        "config.yaml",
        &there.replace("https://dex.example.com", "http://127.0.0.1:9"),
    );
    let output = tokenward(&["doctor", "--json", "--config", &config.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stdout);
    let report: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let failed: Vec<_> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|check| check["outcome"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert_eq!(failed[0]["name"], "issuer http://127.0.0.1:9 (muster): discovery");
    assert_ne!(failed[0]["hint"], "");
    for secret in [
        "filter-credential",
        "aggregator-credential",
        "client-secret",
        "q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY=",
    ] {
        assert!(!said.contains(secret) && !text(&output.stderr).contains(secret));
    }
    assert!(
        !folder.path().join("tokenward.redb").exists(),
        "the doctor made a store"
    );
}
