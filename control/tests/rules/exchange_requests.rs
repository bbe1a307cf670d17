//! The form of an exchange, parameter by parameter.

use tokenward_control::upstream::dialect::rules::ExchangeGrant;
use tokenward_control::upstream::issuer::exchange_form::exchange_form;

use crate::config::exchanges::{AUTH0, ENTRA, KEYCLOAK, parsed};

/// The form of the exchange with `fields`, as `name=value`.
fn form(fields: &str) -> Vec<String> {
    let config = parsed(fields).expect(fields);
    let form = exchange_form(&config, "SUBJECT");
    form.iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn keycloak_gets_the_access_token_and_one_parameter_for_each_audience() {
    assert_eq!(
        form(&format!(
            "tokenEndpoint: \"{KEYCLOAK}\", audience: [a, \"https://b.example.com\"]"
        )),
        [
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type=urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type=urn:ietf:params:oauth:token-type:access_token",
            "subject_token=SUBJECT",
            "audience=a",
            "audience=https://b.example.com",
        ]
    );
}

#[test]
fn entra_gets_an_assertion_on_behalf_of_the_user() {
    let config = parsed(&format!(
        "tokenEndpoint: \"{ENTRA}\", scopes: \"api://b/.default\""
    ))
    .expect("good");
    assert_eq!(config.grant, ExchangeGrant::JwtBearer);
    assert_eq!(
        exchange_form(&config, "SUBJECT"),
        [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("scope", "api://b/.default"),
            ("assertion", "SUBJECT"),
            ("requested_token_use", "on_behalf_of"),
        ]
    );
}

#[test]
fn auth0_gets_the_type_of_its_profile_and_no_requested_type() {
    let form = form(&format!(
        "tokenEndpoint: \"{AUTH0}\", audience: [a], subjectTokenType: \"https://example.com/t\", parameters: {{x: y}}"
    ));
    assert!(
        form.contains(&"subject_token_type=https://example.com/t".to_owned()),
        "{form:?}"
    );
    assert!(!form.iter().any(|pair| pair.starts_with("scope=")), "{form:?}");
    assert_eq!(form.last().map(String::as_str), Some("x=y"));
}

#[test]
fn dex_gets_its_connector_and_scopes_as_before() {
    let form = form("tokenEndpoint: \"https://dex.example.com/token\", connectorId: home");
    assert_eq!(
        form,
        [
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
            "scope=openid profile email groups audience:server:client_id:api",
            "connector_id=home",
            "requested_token_type=urn:ietf:params:oauth:token-type:id_token",
            "subject_token_type=urn:ietf:params:oauth:token-type:id_token",
            "subject_token=SUBJECT",
        ]
    );
}
