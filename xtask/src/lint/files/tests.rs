use super::{forbidden_in, is_lock_file, is_source};

#[test]
fn a_registry_host_is_found() {
    let host = ["files.pythonhosted", "org"].join(".");
    assert_eq!(
        forbidden_in(&format!("url = \"https://{host}/x\"")),
        Some(["pythonhosted", "org"].join("."))
    );
}

#[test]
fn a_path_of_one_machine_is_found_where_it_begins() {
    for folder in ["root", "work", "home"] {
        let path = format!("/{folder}/someone/file");
        for line in [
            path.clone(),
            format!("see {path}"),
            format!("`{path}`"),
            format!("path={path}"),
        ] {
            assert_eq!(forbidden_in(&line), Some(format!("/{folder}/")), "{line}");
        }
    }
}

#[test]
fn the_middle_of_a_path_or_of_an_address_is_no_path_of_a_machine() {
    let inner = ["tests/", "work", "/file"].concat();
    for line in [
        inner.as_str(),
        "https://host.example/home/x",
        "../root/x",
        "$HOME/x",
        "a worker/homely thing",
    ] {
        assert_eq!(forbidden_in(line), None, "{line}");
    }
}

#[test]
fn lock_files_are_left_out_and_sources_are_known() {
    assert!(is_lock_file("Cargo.lock") && is_lock_file("tests/dex/go.sum") && !is_lock_file("Cargo.toml"));
    assert!(is_source("xtask/src/main.rs") && !is_source("README.md"));
}
