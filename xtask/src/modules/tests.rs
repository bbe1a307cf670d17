//! The packages that builds and tests select.

use std::collections::BTreeSet;

use super::PACKAGES;

/// Wasm modules of their own, which benchmarks build.
const NOT_NATIVE: [&str; 2] = ["tokenward-baseline-filter", "tokenward-bare-filter"];

#[test]
fn every_member_of_the_workspace_is_built_and_tested() {
    let manifest = include_str!("../../../Cargo.toml");
    let (_, members) = manifest.split_once("members = [").expect("members");
    let (members, _) = members.split_once(']').expect("the end of the members");
    let names: BTreeSet<String> = members
        .split('"')
        .skip(1)
        .step_by(2)
        .map(|member| {
            let path = format!("{}/../{member}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
            let manifest = std::fs::read_to_string(&path).expect("a manifest");
            let name = manifest
                .lines()
                .find_map(|line| line.strip_prefix("name = "))
                .expect("a name");
            name.trim_matches('"').to_owned()
        })
        .filter(|name| !NOT_NATIVE.contains(&&**name))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(names, PACKAGES.map(str::to_owned).into());
}
