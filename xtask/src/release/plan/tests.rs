use super::{UNNAMED_REGISTRY, ensure_registry, ensure_tag};

#[test]
fn only_the_versions_own_tag_is_accepted() {
    assert!(ensure_tag(None).is_ok());
    assert!(ensure_tag(Some(concat!("v", env!("CARGO_PKG_VERSION")))).is_ok());
    for tag in [env!("CARGO_PKG_VERSION"), "v99.0.0", "", "main"] {
        assert!(ensure_tag(Some(tag)).is_err(), "{tag}");
    }
}

#[test]
fn a_registry_is_a_host_and_a_path_in_lower_case() {
    for good in [
        UNNAMED_REGISTRY,
        "registry.example.com/team/tokenward",
        "127.0.0.1:5000/x",
    ] {
        assert!(ensure_registry(good).is_ok(), "{good}");
    }
    for bad in [
        "registry.example.com",
        "https://registry.example.com/x",
        "registry.example.com/x/",
        "registry.example.com/Team",
        "",
    ] {
        assert!(ensure_registry(bad).is_err(), "{bad}");
    }
}
