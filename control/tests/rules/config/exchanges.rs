//! `tokenExchange` for every kind of remote issuer: what it takes, and what cannot work there.

use secrecy::ExposeSecret;
use tokenward_control::config::{ExchangeConfig, Problem, TokenSource, Verification};
use tokenward_control::upstream::dialect::Dialect;
use tokenward_control::upstream::dialect::rules::{ExchangeGrant, SubjectKind};
use tokenward_protocol::token_endpoint::{TOKEN_TYPE_ACCESS_TOKEN, TOKEN_TYPE_ID_TOKEN};

use super::{Folder, GOOD, parse};

pub(crate) const KEYCLOAK: &str = "https://kc.example.com/realms/remote/protocol/openid-connect/token";
pub(crate) const ENTRA: &str = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token";
pub(crate) const OKTA: &str = "https://org.okta.com/oauth2/default/v1/token";
pub(crate) const AUTH0: &str = "https://tenant.eu.auth0.com/oauth/token";
const ANY: &str = "https://sts.example.com/exchange?tenant=7";

/// The exchange whose fields beside `enabled` and the client are `fields`; required audiences are `audiences`.
fn parsed_with(audiences: &str, fields: &str) -> Result<ExchangeConfig, Vec<Problem>> {
    let (head, _) = GOOD.split_once("- name: remote-1").expect("the second server");
    let server = format!(
        "- name: remote-1\n  auth:\n    requiredAudiences: [{audiences}]\n    tokenExchange: {{enabled: true, {fields}, \
         clientCredentials: {{clientId: exchanger, clientSecret: {{file: DIR/client}}}}}}\n"
    );
    let config = parse(&Folder::new(), &format!("{head}{server}"))?;
    match config.server("remote-1").map(|server| &server.token) {
        Some(TokenSource::Exchange(exchange)) => Ok(exchange.as_ref().clone()),
        _ => panic!("remote-1 exchanges"),
    }
}

pub(crate) fn parsed(fields: &str) -> Result<ExchangeConfig, Vec<Problem>> {
    parsed_with("api", fields)
}

#[test]
fn each_kind_of_issuer_is_recognised_by_its_endpoint_and_completed() {
    let entra = parsed(&format!(
        "tokenEndpoint: \"{ENTRA}\", scopes: \"api://b/.default\""
    ))
    .expect("Entra");
    assert_eq!(
        (entra.dialect, entra.grant, entra.subject),
        (Dialect::Entra, ExchangeGrant::JwtBearer, SubjectKind::AccessToken)
    );
    assert_eq!(
        entra.expected_issuer,
        "https://login.microsoftonline.com/tenant/v2.0"
    );
    assert_eq!(entra.requested_token_type, None);
    assert_eq!(
        entra.parameters,
        [("requested_token_use".to_owned(), "on_behalf_of".to_owned())]
    );
    assert_eq!(
        (entra.scopes.as_str(), entra.connector_id),
        ("api://b/.default", None)
    );

    let keycloak = parsed(&format!(
        "tokenEndpoint: \"{KEYCLOAK}\", audience: [\"api://b\", other]"
    ))
    .expect("Keycloak");
    assert_eq!(
        (keycloak.dialect, keycloak.grant, keycloak.subject),
        (
            Dialect::Keycloak,
            ExchangeGrant::TokenExchange,
            SubjectKind::AccessToken
        )
    );
    assert_eq!(keycloak.subject_token_type, TOKEN_TYPE_ACCESS_TOKEN);
    assert_eq!(
        keycloak.requested_token_type.as_deref(),
        Some(TOKEN_TYPE_ACCESS_TOKEN)
    );
    assert_eq!((keycloak.audience.len(), keycloak.scopes.as_str()), (2, ""));
    assert_eq!(keycloak.expected_issuer, "https://kc.example.com/realms/remote");
    assert_eq!(keycloak.verification, Verification::Signature);

    let okta = parsed(&format!(
        "tokenEndpoint: \"{OKTA}\", audience: [\"api://b\"], scopes: api.read"
    ))
    .expect("Okta");
    assert_eq!(
        (okta.dialect, okta.subject),
        (Dialect::Okta, SubjectKind::AccessToken)
    );

    let profile = "https://example.com/tokenward-exchange";
    let auth0 = format!(
        "tokenEndpoint: \"{AUTH0}\", audience: [\"https://api.example.com/\"], subjectTokenType: \"{profile}\""
    );
    let auth0 = parsed(&auth0).expect("Auth0");
    assert_eq!(
        (auth0.dialect, auth0.subject_token_type.as_str()),
        (Dialect::Auth0, profile)
    );
    assert_eq!(auth0.expected_issuer, "https://tenant.eu.auth0.com/");
}

#[test]
fn any_other_issuer_is_configured_by_the_words_of_the_specifications() {
    let fields = format!(
        "tokenEndpoint: \"{ANY}\", dialect: standard, expectedIssuer: \"https://sts.example.com\", subject: id_token, \
         requestedTokenType: none, audience: [\"urn:example:b\"], scopes: \"read write\", verify: introspection, \
         parameters: {{resource: \"https://b.example.com/mcp\", tenant: 7}}"
    );
    let exchange = parsed(&fields).expect("good");
    assert_eq!(exchange.token_endpoint.as_str(), ANY);
    assert_eq!(
        (&exchange.jwks_uri, &exchange.requested_token_type),
        (&None, &None)
    );
    assert_eq!(exchange.subject_token_type, TOKEN_TYPE_ID_TOKEN);
    assert_eq!(exchange.verification, Verification::Introspection);
    let parameters: Vec<(&str, &str)> = exchange
        .parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        parameters,
        [("resource", "https://b.example.com/mcp"), ("tenant", "7")]
    );
    assert_eq!(exchange.client_secret.expose_secret(), "c");
}

/// The older name of the endpoint is Dex's, wherever it leads: such a configuration stays what it was.
#[test]
fn the_older_name_of_the_endpoint_means_dex() {
    let fields = format!(
        "dexTokenEndpoint: \"{KEYCLOAK}\", connectorId: home, expectedIssuer: \"https://kc.example.com/realms/remote\", \
         jwksUri: \"https://kc.example.com/keys\""
    );
    let exchange = parsed_with("api", &fields).expect("as before");
    assert_eq!(exchange.dialect, Dialect::Dex);
    assert_eq!(
        exchange.scopes,
        "openid profile email groups audience:server:client_id:api"
    );
    let dex = parsed_with(
        "api",
        "tokenEndpoint: \"https://dex.example.com/token\", connectorId: home",
    )
    .expect("Dex");
    assert_eq!(
        (dex.dialect, dex.connector_id.as_deref()),
        (Dialect::Dex, Some("home"))
    );
    let written = parsed(&format!("dexTokenEndpoint: \"{KEYCLOAK}\", dialect: keycloak")).expect("Keycloak");
    assert_eq!(written.dialect, Dialect::Keycloak);
}

#[test]
fn an_audience_may_be_any_uri_unless_dex_has_it_in_a_scope() {
    for audience in [
        "api://b/c",
        "https://api.example.com/?v=1",
        "urn:example:b",
        "grüße",
        "a,b",
    ] {
        assert!(
            parsed_with(
                &format!("\"{audience}\""),
                &format!("tokenEndpoint: \"{KEYCLOAK}\"")
            )
            .is_ok(),
            "{audience}"
        );
        let forwarding = GOOD.replacen("[kube]", &format!("[\"{audience}\"]"), 1);
        assert!(parse(&Folder::new(), &forwarding).is_ok(), "{audience}");
    }
    for audience in ["", "a b", "not a:uri", ":"] {
        assert!(
            parsed_with(
                &format!("\"{audience}\""),
                &format!("tokenEndpoint: \"{KEYCLOAK}\"")
            )
            .is_err(),
            "{audience}"
        );
    }
    let dex = "tokenEndpoint: \"https://dex.example.com/token\", connectorId: home";
    let problems = parsed_with("\"api://b/c\"", dex).expect_err("Dex has it in a scope");
    assert!(problems[0].hint.contains("Dex has it in a scope"), "{problems:?}");
}

/// One problem, with the text that names its cure.
fn refused(fields: &str, cure: &str) {
    let problems = parsed(fields).expect_err(fields);
    let [problem] = problems.as_slice() else {
        panic!("{fields}: {problems:#?}");
    };
    assert!(
        problem.line > 0 && problem.to_string().contains(cure),
        "{fields}: {problem}"
    );
}

#[test]
fn what_cannot_work_at_the_issuer_is_a_problem_with_its_cure() {
    let jwt_bearer = "grant: jwt-bearer";
    for (endpoint, fields, cure) in [
        (
            KEYCLOAK,
            "subject: id_token",
            "keycloak exchanges no id_token; remove subject",
        ),
        (KEYCLOAK, "subject: token", "write one of id_token, access_token"),
        (KEYCLOAK, "connectorId: home", "connectorId is about a Dex"),
        (
            KEYCLOAK,
            "dialect: keyclock",
            "write one of standard, dex, keycloak",
        ),
        (
            KEYCLOAK,
            "grant: password",
            "write one of token-exchange, jwt-bearer",
        ),
        (
            KEYCLOAK,
            &format!("{jwt_bearer}, audience: [b]"),
            "name the target by scopes",
        ),
        (
            KEYCLOAK,
            &format!("{jwt_bearer}, requestedTokenType: \"{TOKEN_TYPE_ID_TOKEN}\""),
            "remove requestedTokenType",
        ),
        (
            KEYCLOAK,
            &format!("{jwt_bearer}, subjectTokenType: \"urn:a:b\""),
            "remove subjectTokenType",
        ),
        (KEYCLOAK, "requestedTokenType: id_token", "is not a URI"),
        (
            KEYCLOAK,
            "requestedTokenType: \"urn:ietf:params:oauth:token-type:saml2\"",
            "takes as a bearer",
        ),
        (
            KEYCLOAK,
            "requestedTokenType: \"urn:ietf:params:oauth:token-type:refresh_token\"",
            "takes as a bearer",
        ),
        (
            KEYCLOAK,
            &format!("subjectTokenType: \"{TOKEN_TYPE_ID_TOKEN}\""),
            "contradicts subject: access_token",
        ),
        (
            KEYCLOAK,
            &format!("requestedTokenType: \"{TOKEN_TYPE_ID_TOKEN}\", verify: expires_in"),
            "remove verify",
        ),
        (
            KEYCLOAK,
            &format!("requestedTokenType: \"{TOKEN_TYPE_ID_TOKEN}\", scopes: email"),
            "openid",
        ),
        (
            KEYCLOAK,
            "verify: trust",
            "write one of signature, introspection, expires_in",
        ),
        (KEYCLOAK, "audience: [\"a b\"]", "write a text without spaces"),
        (KEYCLOAK, "scopes: \"a\\\"b\"", "must be a list"),
        (
            KEYCLOAK,
            "dexTokenEndpoint: \"https://dex.example.com/token\"",
            "remove dexTokenEndpoint",
        ),
        (
            ENTRA,
            "scopes: s, grant: token-exchange",
            "entra has no grant token-exchange",
        ),
        (ENTRA, "scopes: s, audience: [b]", "api://APPLICATION/.default"),
        (ENTRA, "verify: signature", "has no scopes; add scopes"),
        (OKTA, "scopes: api.read", "has no audience; add audience"),
        (
            OKTA,
            "audience: [b], grant: jwt-bearer",
            "okta has no grant jwt-bearer",
        ),
        (AUTH0, "audience: [b]", "has no subjectTokenType"),
        (
            AUTH0,
            "audience: [b], subjectTokenType: \"urn:ietf:params:oauth:token-type:jwt\"",
            "is no profile's at auth0",
        ),
        (ANY, "dialect: standard", "add expectedIssuer"),
        (ANY, "dialect: google", "google gives no token for a user's token"),
        (
            "https://dex.example.com/token",
            "verify: signature",
            "has no connectorId",
        ),
        (
            "http://sts.example.com/token",
            "dialect: keycloak",
            "must be https",
        ),
    ] {
        refused(&format!("tokenEndpoint: \"{endpoint}\", {fields}"), cure);
    }
    refused("connectorId: home", "has no tokenEndpoint");
    let named = "tokenEndpoint: \"https://dex.example.com/token\", connectorId: home, audience: [b]";
    let problems = parsed_with("b", named).expect_err("by scopes");
    assert!(
        problems[0].hint.contains("name it in requiredAudiences"),
        "{problems:?}"
    );
}

#[test]
fn a_parameter_is_neither_one_of_controls_own_nor_a_secret() {
    for name in [
        "grant_type",
        "Client_Secret",
        "subject_token",
        "assertion",
        "scope",
        "audience",
        "connector_id",
        "actor_token",
    ] {
        refused(
            &format!("tokenEndpoint: \"{KEYCLOAK}\", parameters: {{{name}: x}}"),
            "control sends itself",
        );
    }
    for (parameter, cure) in [
        ("password: hunter2", "looks like a secret"),
        ("x_api_key: hunter2", "looks like a secret"),
        ("x: eyJhbGciOiJub25lIn0.e30.hunter2", "looks like a secret"),
        ("\"a b\": x", "is not usable"),
        ("x: \"\"", "the value of parameter x is not usable"),
        ("x: \"a\\nhunter2\"", "the value of parameter x is not usable"),
    ] {
        let fields = format!("tokenEndpoint: \"{KEYCLOAK}\", parameters: {{{parameter}}}");
        refused(&fields, cure);
        let problems = parsed(&fields).expect_err("refused");
        assert!(!format!("{problems:?}").contains("hunter2"), "{problems:?}");
    }
    let many: Vec<String> = (0..17).map(|number| format!("p{number}: x")).collect();
    let fields = format!(
        "tokenEndpoint: \"{KEYCLOAK}\", parameters: {{{}}}",
        many.join(", ")
    );
    refused(&fields, "more than 16 members");
}

/// A written parameter replaces the dialect's, and no second one is sent.
#[test]
fn a_parameter_of_the_dialect_may_be_replaced() {
    let fields =
        format!("tokenEndpoint: \"{ENTRA}\", scopes: s, parameters: {{requested_token_use: other, a: b}}");
    let exchange = parsed(&fields).expect("good");
    let names: Vec<&str> = exchange
        .parameters
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["a", "requested_token_use"]);
    assert_eq!(exchange.parameters[1].1, "other");
}

#[test]
fn the_client_of_an_exchange_has_a_secret_or_a_key() {
    let (head, _) = GOOD.split_once("- name: remote-1").expect("the second server");
    let of_client = |client: &str| {
        let server = format!(
            "- name: remote-1\n  auth:\n    tokenExchange: {{enabled: true, tokenEndpoint: \"{KEYCLOAK}\", clientCredentials: \
             {{clientId: exchanger, {client}}}}}\n"
        );
        let problems = parse(&Folder::new(), &format!("{head}{server}")).expect_err(client);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    };
    for (client, cure) in [
        ("clientAuth: post", "neither clientSecret nor clientKey"),
        (
            "clientSecret: {file: DIR/client}, clientKey: {file: DIR/client}",
            "both there",
        ),
        (
            "clientSecret: {file: DIR/client}, clientAuth: private_key_jwt",
            "write clientKey",
        ),
        ("clientKey: {file: DIR/client}", "clientKey "),
    ] {
        let problem = of_client(client);
        assert!(problem.contains(cure), "{client}: {problem}");
    }
}
