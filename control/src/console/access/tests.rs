//! Which claims let an operator in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::is_member;

fn token(payload: &str) -> String {
    format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(payload))
}

fn enters(payload: &str) -> bool {
    is_member(
        &token(payload),
        "groups",
        &["sre".to_owned(), "on call".to_owned()],
    )
}

#[test]
fn one_of_the_configured_groups_is_enough() {
    assert!(enters(r#"{"groups":["dev","sre"]}"#));
    assert!(enters(r#"{"groups":"on call"}"#));
}

#[test]
fn nothing_else_lets_an_operator_in() {
    for payload in [
        "{}",
        r#"{"groups":[]}"#,
        r#"{"groups":["SRE"]}"#,
        r#"{"groups":["sre "]}"#,
        r#"{"groups":"sre,on call"}"#,
        r#"{"groups":[["sre"]]}"#,
        r#"{"groups":{"sre":true}}"#,
        r#"{"groups":null}"#,
        r#"{"groups":["sre"],"groups":["sre"]}"#,
        r#"{"roles":["sre"]}"#,
        "no JSON",
    ] {
        assert!(!enters(payload), "{payload}");
    }
    assert!(!is_member("no token", "groups", &["sre".to_owned()]));
}
