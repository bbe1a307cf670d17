//! Where a login may lead.

use super::own_path;

#[test]
fn a_login_leads_to_the_page_that_was_wanted() {
    assert_eq!(own_path("/console/users?after=0-12"), "/console/users?after=0-12");
}

#[test]
fn a_login_leads_to_no_other_site() {
    for path in [
        "",
        "/",
        "//evil.example/console/",
        "https://evil.example/console/",
        "/console",
        "/\\evil.example",
        "/console/\\evil.example",
        "/console/\r\nset-cookie: a=b",
        "/console/@evil.example",
    ] {
        assert_eq!(own_path(path), "/console/", "{path:?}");
    }
    assert_eq!(own_path(&format!("/console/{}", "a".repeat(600))), "/console/");
}
