//! `auth.forward`: which token of the login a server gets, and what the gateway learns of that.

use serde_json::{Value, json};
use tokenward_control::config::TokenSource;
use tokenward_control::filter_state::server_list::server_list_json;

use super::{Folder, GOOD, one_problem, parse};

const AUDIENCES: &str = "forwardToken: true, requiredAudiences: [kube]";

fn with(forward: &str) -> String {
    GOOD.replacen(AUDIENCES, &format!("{AUDIENCES}, forward: {forward}"), 1)
}

#[test]
fn a_server_gets_the_id_token_unless_it_wants_the_access_token() {
    let folder = Folder::new();
    let token = |text: &str| {
        let config = parse(&folder, text).expect("good");
        config.server("kubernetes").map(|server| server.token.clone())
    };
    assert!(matches!(token(GOOD), Some(TokenSource::Forward)));
    assert!(matches!(token(&with("id_token")), Some(TokenSource::Forward)));
    assert!(matches!(
        token(&with("access_token")),
        Some(TokenSource::ForwardAccessToken)
    ));
}

#[test]
fn the_gateway_reads_nothing_of_a_forwarded_access_token() {
    let folder = Folder::new();
    let auth = |text: &str| {
        let list = server_list_json(&parse(&folder, text).expect("good"));
        let list: Value = serde_json::from_slice(&list).expect("JSON");
        list["servers"][0]["auth"].clone()
    };
    let issuer = "https://dex.example.com";
    assert_eq!(
        auth(GOOD),
        json!({"kind": "forward", "issuer": issuer, "required_audiences": ["kube"]})
    );
    // A presented token is one of the login's client; the server's audiences are those of the access token.
    assert_eq!(
        auth(&with("access_token")),
        json!({"kind": "forward", "issuer": issuer, "required_audiences": ["muster"], "delivered": "opaque"})
    );
}

#[test]
fn an_unknown_value_and_one_without_effect_are_problems() {
    one_problem(
        (AUDIENCES, &format!("{AUDIENCES}, forward: refresh_token")),
        12,
        "write id_token or access_token",
    );
    one_problem(
        (
            "    requiredAudiences: [api]",
            "    requiredAudiences: [api]\n    forward: access_token",
        ),
        18,
        "tokenExchange, which wins",
    );
}
