use super::Version;

#[test]
fn a_version_is_read_with_and_without_a_tail() {
    assert_eq!(Version::parse("1.95.0"), Some(Version::new(1, 95, 0)));
    assert_eq!(Version::parse("8.1"), Some(Version::new(8, 1, 0)));
    assert_eq!(Version::parse("1.41.0-dev"), Some(Version::new(1, 41, 0)));
    assert_eq!(
        Version::parse("1.95.0+dfsg1-2~bpo13+1"),
        Some(Version::new(1, 95, 0))
    );
}

#[test]
fn what_is_no_version_is_none() {
    for text in ["", "8", "v8.1.0", "1.2.3.4", "..", "1..2", "99999999999.1"] {
        assert_eq!(Version::parse(text), None, "{text:?}");
    }
}

#[test]
fn versions_are_ordered_by_number_not_by_letter() {
    assert!(Version::new(1, 40, 0) > Version::new(1, 9, 12));
    assert!(Version::new(2, 0, 0) > Version::new(1, 99, 99));
}

#[test]
fn each_tool_is_understood() {
    assert_eq!(
        Version::of_rustc("rustc 1.95.0 (59807616e 2026-04-14)\n"),
        Some(Version::new(1, 95, 0))
    );
    let envoy = "\n/somewhere/envoy  version: 0123abc/1.40.0/Clean/RELEASE/BoringSSL\n\n";
    assert_eq!(Version::of_envoy(envoy), Some(Version::new(1, 40, 0)));
    assert_eq!(
        Version::of_etcd("etcd Version: 3.4.23\nGit SHA: Not provided\n"),
        Some(Version::new(3, 4, 23))
    );
    assert_eq!(
        Version::of_go("go version go1.26.8 linux/amd64\n"),
        Some(Version::new(1, 26, 8))
    );
    assert_eq!(
        Version::of_go("go version go1.25rc1 linux/arm64"),
        Some(Version::new(1, 25, 0))
    );
    assert_eq!(Version::of_node("v20.20.2\n"), Some(Version::new(20, 20, 2)));
    assert_eq!(
        Version::of_python("Python 3.13.0rc1\n"),
        Some(Version::new(3, 13, 0))
    );
    let old = "Server v=8.1.4 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=12ab\n";
    assert_eq!(Version::of_valkey(old), Some(Version::new(8, 1, 4)));
    assert_eq!(
        Version::of_valkey("Valkey server v=9.0.0 sha=1:0"),
        Some(Version::new(9, 0, 0))
    );
}

#[test]
fn the_output_of_another_tool_is_none() {
    assert_eq!(Version::of_rustc("cargo 1.95.0"), None);
    assert_eq!(Version::of_go("gccgo (GCC) 12.2.0"), None);
    assert_eq!(Version::of_envoy("nginx version: nginx-1.2.3"), None);
    assert_eq!(Version::of_node("node: not found"), None);
    assert_eq!(Version::of_python("PyPy 7.3"), None);
    assert_eq!(Version::of_valkey("command not found"), None);
}
