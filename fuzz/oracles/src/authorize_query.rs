//! The query of an authorization request, and the answer to it: whatever a client sends, its user is sent to the redirect URI
//! and to nowhere else, with one `iss` and one `state`.

use tokenward_control::authorization::refusal::AuthorizationRefusal;
use tokenward_control::authorization::request::check::check;
use tokenward_control::authorization::request::parameters::{MAX_STATE_BYTES, Parameters};
use tokenward_control::authorization::request::reply::ReplyTo;
use tokenward_control::config::{Resource, ServerConfig, ServerRoute, TokenSource};
use tokenward_protocol::form::Form;
use url::Url;

/// The issuer of the answers.
const ISSUER: &str = "https://mcp.example.com";
/// A redirect URI that begins every one that is tried: what the query names is appended as its query.
const REDIRECT: &str = "https://client.example/callback";

/// Reads and judges a query, and makes the answers to it.
pub fn authorize_query(data: &[u8]) {
    let Ok(form) = Form::read(data) else {
        return;
    };
    let Ok(parameters) = Parameters::read(&form) else {
        return;
    };
    let once = |name: &str| form.pairs().filter(|(own, _)| *own == name).count() == 1;
    assert!(once("client_id") && once("redirect_uri"));
    assert!(
        parameters
            .state
            .as_ref()
            .is_none_or(|state| state.len() <= MAX_STATE_BYTES)
    );
    let servers = [
        server("a", "https://mcp.example.com"),
        server("b", "https://mcp.example.com/b"),
    ];
    for default_server in [None, Some("b")] {
        match check(&parameters, &servers, default_server) {
            Ok(asked) => {
                let known = |server: &ServerConfig| {
                    let resource = server.resource.as_ref().map(|own| own.identifier.as_str());
                    server.name == asked.server && resource == Some(asked.resource.as_str())
                };
                assert!(servers.iter().any(known));
                assert!((43..=128).contains(&asked.code_challenge.len()));
                assert!(
                    ["mcp", "mcp offline_access"].contains(&asked.scope.join(" ").as_str()),
                    "{:?}",
                    asked.scope
                );
                assert_eq!(form.all("response_type").collect::<Vec<_>>(), ["code"]);
                assert_eq!(form.all("code_challenge_method").collect::<Vec<_>>(), ["S256"]);
                assert!(form.all("resource").count() <= 1);
            }
            Err(refused) => assert_ne!(refused.refusal.error(), "server_error"),
        }
    }
    answers(&parameters);
}

/// The answers to a redirect URI with the request's text in its query.
fn answers(parameters: &Parameters) {
    // As a redirect URI is accepted: in the characters of RFC 3986.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&byte);
    let query: String = parameters
        .redirect_uri
        .bytes()
        .filter(|byte| plain(*byte))
        .map(char::from)
        .collect();
    let reply_to = ReplyTo {
        redirect_uri: format!("{REDIRECT}?{query}"),
        state: parameters.state.clone(),
    };
    let refused = AuthorizationRefusal::Denied.into();
    for (location, name, value) in [
        (reply_to.code(ISSUER, "made-up"), "code", "made-up"),
        (reply_to.refused(ISSUER, &refused), "error", "access_denied"),
    ] {
        assert!(location.starts_with(&format!("{REDIRECT}?")), "{location}");
        assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location}");
        let url = Url::parse(&location).expect("a URL");
        assert_eq!(url.host_str(), Some("client.example"));
        let all = |wanted: &str| -> Vec<String> {
            url.query_pairs()
                .filter(|(own, _)| own.trim().eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.into_owned())
                .collect()
        };
        assert_eq!(all("iss"), [ISSUER], "{location}");
        assert_eq!(all(name), [value], "{location}");
        let state: Vec<String> = parameters.state.iter().cloned().collect();
        assert_eq!(all("state"), state, "{location}");
        let codes_and_errors = all("code").len() + all("error").len();
        assert_eq!(codes_and_errors, 1, "{location}");
    }
}

fn server(name: &str, resource: &str) -> ServerConfig {
    ServerConfig {
        name: name.to_owned(),
        resource: Some(Resource {
            identifier: resource.to_owned(),
            url: Url::parse(resource).expect("a URL"),
        }),
        home_issuer: None,
        route: ServerRoute::default(),
        listener_405_after: None,
        required_audiences: Vec::new(),
        token: TokenSource::Forward,
    }
}
