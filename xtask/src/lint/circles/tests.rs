use super::imports::imports;
use super::{Crate, File, Module, module_of};

fn module(path: &str) -> Module {
    path.split("::")
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(name, text)| {
        let name_of = module(name);
        let imports = imports(text, &name_of);
        let path = format!("{name}.rs");
        (name_of, File { path, imports })
    });
    Crate {
        files: files.collect(),
    }
    .circles()
}

#[test]
fn files_that_import_each_other_are_named() {
    let found = circles(&[
        ("", "mod a;\nmod b;\nmod c;"),
        ("a", "use std::fmt;\nuse crate::b::{self, B};\n"),
        ("b", "use super::c::C;\n"),
        ("c", "//! use crate::b::B;\npub(crate) use crate::a::{x::Y, Z};\n"),
        ("d", "use crate::a::Z;\nuse anyhow::Result;\n"),
    ]);
    assert_eq!(found, ["a.rs, b.rs, c.rs"]);
}

#[test]
fn a_parent_may_use_its_children_and_they_may_use_it() {
    let found = circles(&[
        ("a", "mod b;\npub use b::B;\nuse self::b::C;\n"),
        ("a::b", "use super::A;\nuse super::super::c::C;\n"),
        ("c", ""),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_re_export_hides_no_circle() {
    let found = circles(&[
        (
            "a",
            "mod b;\nmod c;\npub(crate) use b::B;\npub use self::c::{C as Other};\n",
        ),
        ("a::b", "use super::Other;\n"),
        ("a::c", "use crate::a::B;\n"),
    ]);
    assert_eq!(found, ["a::b.rs, a::c.rs"]);
}

#[test]
fn nested_lists_are_read_to_their_end() {
    let found = imports(
        "use crate::{\n    a::{self, b::{C, D}},\n    e,\n};\nuse super::f as g;",
        &module("x::y"),
    );
    let paths: Vec<String> = found.iter().map(|import| import.path.join("::")).collect();
    assert_eq!(paths, ["a", "a::b::C", "a::b::D", "e", "x::f"]);
    assert_eq!(found.last().map(|import| import.name.as_str()), Some("g"));
}

#[test]
fn modules_follow_from_paths() {
    let of = |path| module_of(path).map(|(root, module)| format!("{root} {}", module.join("::")));
    assert_eq!(
        of("control/src/store/valkey/mod.rs").as_deref(),
        Some("control store::valkey")
    );
    assert_eq!(of("filter/core/src/lib.rs").as_deref(), Some("filter/core "));
    for path in [
        "control/src/bin/x.rs",
        "control/src/a/tests.rs",
        "control/src/a.json",
        "control/tests/a.rs",
    ] {
        assert_eq!(of(path), None, "{path}");
    }
}
