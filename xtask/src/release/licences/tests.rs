use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{document, linked};

fn package(name: &str, source: Option<&str>) -> Value {
    json!({
        "id": name, "name": name, "version": "1.0.0", "license": "MIT",
        "source": source, "manifest_path": format!("/sources/{name}/Cargo.toml"),
    })
}

fn metadata() -> Value {
    let dep = |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
    json!({
        "packages": [
            package("control", None), package("protocol", None), package("tests", None),
            package("linked", Some("registry")), package("deeper", Some("registry")),
            package("builds", Some("registry")), package("mocks", Some("registry")),
        ],
        "resolve": {"nodes": [
            {"id": "control", "deps": [
                dep("protocol", None), dep("linked", None), dep("builds", Some("build")), dep("mocks", Some("dev")),
            ]},
            {"id": "linked", "deps": [dep("deeper", None), dep("linked", None)]},
            {"id": "tests", "deps": [dep("mocks", None)]},
        ]},
    })
}

#[test]
fn the_crates_of_others_that_are_linked_are_found_and_no_others() {
    let found = linked(&metadata(), "control").expect("crates");
    let names: Vec<&str> = found.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["deeper 1.0.0", "linked 1.0.0"]);
    assert_eq!(found[0].folder.display().to_string(), "/sources/deeper");
    assert!(linked(&metadata(), "no-such").is_err());
}

#[test]
fn each_text_stands_once_with_all_that_it_is_of_and_what_has_none_is_named() {
    let texts = BTreeMap::from([
        (
            "Text B".to_owned(),
            vec!["b 1.0.0".to_owned(), "c 1.0.0".to_owned()],
        ),
        ("Text A".to_owned(), vec!["a 1.0.0".to_owned()]),
    ]);
    let text = document(&texts, &["d 1.0.0: MIT".to_owned()]);
    assert_eq!(text.matches("Text B").count(), 1);
    assert!(text.contains("b 1.0.0, c 1.0.0"));
    assert!(text.ends_with("d 1.0.0: MIT\n"), "{text}");
}
