use super::super::files::{Kind, Record, Upload};
use super::ensure_may_be_published;

const REGISTRY: &str = "registry.example.com/tokenward";

fn upload(kind: Kind) -> Upload {
    Upload {
        kind,
        file: "file".to_owned(),
        repository: format!("{REGISTRY}/tokenward"),
        digest: "sha256:abc".to_owned(),
    }
}

fn record() -> Record {
    Record {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: "0".repeat(40),
        time_seconds: 1,
        registry: REGISTRY.to_owned(),
        module_sha256: "0".repeat(64),
        uploads: [Kind::Image, Kind::Image, Kind::Chart].map(upload).into(),
        left_out: Vec::new(),
    }
}

#[test]
fn a_complete_release_for_this_registry_may_be_published() {
    ensure_may_be_published(&record(), REGISTRY).expect("complete");
}

#[test]
fn nothing_is_published_that_was_left_out_in_part_or_made_for_another_place() {
    let refused = |change: fn(&mut Record), words: &str| {
        let mut record = record();
        change(&mut record);
        let error = ensure_may_be_published(&record, REGISTRY)
            .expect_err(words)
            .to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(
        |record| record.left_out.push("arm64: no Zig".to_owned()),
        "arm64: no Zig",
    );
    refused(
        |record| record.registry = "registry.invalid/tokenward".to_owned(),
        "the chart names registry.invalid/tokenward",
    );
    refused(|record| record.version = "99.0.0".to_owned(), "of version 99.0.0");
    refused(|record| drop(record.uploads.pop()), "lists 2 uploads");
}
