//! Microsoft Entra ID, the v2.0 endpoints of one tenant. Sources: learn.microsoft.com/entra/identity-platform,
//! v2-oauth2-auth-code-flow (refresh, errors), refresh-tokens (not revoked by use, 90 days), v2-oauth2-on-behalf-of-flow,
//! reference-error-codes, id-token-claims-reference, access-token-claims-reference, v2-protocols-oidc; the words of refusals
//! from answers in Azure/azure-cli#14244 and #16745, microsoft/foundry-dev-tools#707, MicrosoftDocs/azure-docs#39189,
//! keycloak/keycloak#31294, AzureAD/MSAL.PS#10 and microsoft/AzureTRE-Deployment#65.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::CloudClient;
use super::answer::Answer;
use super::engine::{Engine, NotVerified, seconds};
use super::logins::Login;
use super::product::{Death, Product, Refusal, UserState, failure, failure_for, unknown_scopes};
use crate::issuer::form::Form;
use crate::issuer::{Endpoint, Failure, fingerprint, wire};

const TENANT: &str = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490";
const TOKEN: &str = "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/oauth2/v2.0/token";
const KEYS: &str = "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/discovery/v2.0/keys";
const ON_BEHALF_OF: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The App ID URI of the API behind an exchange, and its client id, `aud` of its tokens.
const API: (&str, &str) = ("api://reports", "4c1f2b6e-5d0a-4f7e-9a55-0a1c7f3f9d10");

#[derive(Debug)]
pub(super) struct Entra;

/// One of Entra's errors: `error`, the number of AADSTS, its text.
fn error(status: u16, code: &str, number: u32, text: &str) -> Answer {
    const TRACE: &str = "0000aaaa-11bb-cccc-dd22-eeeeee333333";
    const CORRELATION: &str = "aaaa0000-bb11-2222-33cc-444444dddddd";
    const TIMESTAMP: &str = "2026-11-30 09:30:00Z";
    let description = format!(
        "AADSTS{number}: {text} Trace ID: {TRACE} Correlation ID: {CORRELATION} Timestamp: {TIMESTAMP}"
    );
    Answer::new(
        status,
        json!({
            "error": code,
            "error_description": description,
            "error_codes": [number],
            "timestamp": TIMESTAMP,
            "trace_id": TRACE,
            "correlation_id": CORRELATION,
            "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
        }),
    )
}

fn with(mut answer: Answer, member: &str, value: &str) -> Answer {
    answer.body[member] = json!(value);
    answer
}

fn dead(death: Death) -> Answer {
    let (number, text) = match death {
        Death::Idle => (
            700_082,
            "The refresh token has expired due to inactivity. The token was issued on 2026-08-01T09:00:00.0000000Z and \
             was inactive for 90.00:00:00.",
        ),
        Death::Ended | Death::Displaced => (
            50_173,
            "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have \
             changed or reset their password. The grant was issued on '2026-11-01T09:00:00.0000000Z' and the \
             TokensValidFrom date (before which tokens are not valid) for this user is '2026-11-30T09:00:00.0000000Z'.",
        ),
        Death::Unknown | Death::Reused => (
            70_000,
            "Provided grant is invalid or malformed. The refresh token isn't valid.",
        ),
    };
    with(error(400, "invalid_grant", number, text), "suberror", "bad_token")
}

fn of_user(state: UserState) -> Answer {
    match state {
        UserState::Disabled => error(400, "invalid_grant", 50_057, "The user account is disabled."),
        UserState::ConsentWithdrawn => with(
            error(
                400,
                "invalid_grant",
                65_001,
                "The user or administrator has not consented to use the application with ID \
                 '535fb089-9ff3-47b6-9bfb-4f1264799865' named 'Muster'. Send an interactive authorization request for \
                 this user and resource.",
            ),
            "suberror",
            "consent_required",
        ),
        UserState::Active | UserState::MustInteract => {
            let answer = error(
                400,
                "interaction_required",
                50_076,
                "Due to a configuration change made by your administrator, or because you moved to a new location, you \
                 must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
            );
            let claims = r#"{"access_token":{"capolids":{"essential":true,"values":["9ab03e19-ed42-4168-b6b7-7001fb3e933a"]}}}"#;
            with(with(answer, "suberror", "basic_action"), "claims", claims)
        }
    }
}

impl Product for Entra {
    fn issuer(&self, base: &str) -> String {
        format!("{base}/{TENANT}/v2.0")
    }

    /// Members as of the tenant-specific document; there is no revocation and no introspection endpoint.
    fn discovery(&self, base: &str) -> Value {
        let tenant = format!("{base}/{TENANT}");
        json!({
            "token_endpoint": format!("{base}{TOKEN}"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{base}{KEYS}"),
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": self.issuer(base),
            "request_uri_parameter_supported": false,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "authorization_endpoint": format!("{tenant}/oauth2/v2.0/authorize"),
            "device_authorization_endpoint": format!("{tenant}/oauth2/v2.0/devicecode"),
            "http_logout_supported": true,
            "frontchannel_logout_supported": true,
            "end_session_endpoint": format!("{tenant}/oauth2/v2.0/logout"),
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "nonce", "name", "tid", "ver"],
            "kerberos_endpoint": format!("{tenant}/kerberos"),
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
            "rbac_url": "https://pas.windows.net",
        })
    }

    fn authorization_path(&self) -> &'static str {
        "/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/oauth2/v2.0/authorize"
    }

    /// Scopes without a resource are Microsoft Graph's.
    fn scope_problem(&self, scopes: &[String]) -> Option<String> {
        const KNOWN: [&str; 5] = ["openid", "profile", "email", "offline_access", "User.Read"];
        let unknown = unknown_scopes(scopes, |scope| KNOWN.contains(&scope) || scope.contains('/'))?;
        Some(format!(
            "AADSTS650053: The application asked for scope '{unknown}' that doesn't exist on the resource."
        ))
    }

    fn token_path(&self) -> &'static str {
        TOKEN
    }

    fn keys_path(&self) -> &'static str {
        KEYS
    }

    fn endpoint(&self, _path: &str) -> Endpoint {
        Endpoint::Other
    }

    fn api_audience(&self) -> &'static str {
        API.1
    }

    fn longest_assertion_seconds(&self) -> i64 {
        600
    }

    fn most_logins(&self) -> usize {
        usize::MAX
    }

    fn refresh_token(&self, random: &str) -> String {
        format!("1.AXoAI_DqjjQroU2bqovIydakkA{random}.AgABAwEAAAD")
    }

    fn repeats_refresh_token(&self) -> bool {
        true
    }

    /// Without `alg`, with `x5t` and the issuer.
    fn key(&self, mut jwk: Value) -> Value {
        if let Some(members) = jwk.as_object_mut() {
            members.remove("alg");
            let kid = members.get("kid").cloned().unwrap_or_default();
            members.insert("x5t".to_owned(), kid);
            members.insert("cloud_instance_name".to_owned(), json!("microsoftonline.com"));
        }
        jwk
    }

    /// Pairwise: another one for each client.
    fn subject(&self, user: &str, client_id: &str) -> String {
        let half = fingerprint(&format!("{user} at {client_id}"));
        format!("AAAAAAAAAAAAAAAAAAAAA{half}")
    }

    fn id_claims(&self, _engine: &Engine, login: &Login) -> Map<String, Value> {
        let mut claims = user_claims(&login.user);
        claims.insert(
            "sub".to_owned(),
            json!(self.subject(&login.user, &login.client_id)),
        );
        claims.insert("preferred_username".to_owned(), json!(login.user));
        claims.insert("email".to_owned(), json!(login.user));
        claims
    }

    /// A v2.0 access token for the client's own API: the subject of an on-behalf-of request.
    fn access_token(&self, engine: &Engine, login: &Login) -> String {
        access_token(
            engine,
            &login.user,
            (&login.client_id, &login.client_id),
            "access_as_user",
        )
    }

    fn adorn(&self, answer: &mut Map<String, Value>) {
        let lifetime = answer.get("expires_in").cloned().unwrap_or_default();
        answer.insert("ext_expires_in".to_owned(), lifetime);
        answer.insert("scope".to_owned(), json!("openid profile email"));
    }

    fn refusal(&self, _engine: &Engine, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::Client => error(
                401,
                "invalid_client",
                7_000_215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret \
                 value, not the client secret ID, for a secret added to app '535fb089-9ff3-47b6-9bfb-4f1264799865'.",
            ),
            Refusal::Dead(death) => dead(*death),
            Refusal::OfOtherClient => dead(Death::Unknown),
            Refusal::User(state) => of_user(*state),
            Refusal::GrantType(grant) => error(
                400,
                "unsupported_grant_type",
                70_003,
                &format!("The app requested an unsupported grant type '{grant}'."),
            ),
            Refusal::Missing(parameter) => error(
                400,
                "invalid_request",
                900_144,
                &format!("The request body must contain the following parameter: '{parameter}'."),
            ),
            Refusal::Own(answer) => answer.clone(),
        }
    }

    fn passing(&self) -> Vec<Failure> {
        let unavailable = error(
            503,
            "temporarily_unavailable",
            90_033,
            "A transient error has occurred. Please try again.",
        );
        let throttled = error(
            429,
            "temporarily_unavailable",
            90_055,
            "There are too many incoming requests.",
        );
        // To a client with too many requests; it passes after some minutes.
        let looped = error(
            400,
            "invalid_grant",
            50_196,
            "The server terminated an operation because it encountered a client request loop. Please contact your app \
             vendor.",
        );
        vec![
            failure(503, &unavailable.body),
            failure_for(429, &throttled.body, Duration::from_secs(30)),
            failure(400, &looped.body),
        ]
    }

    fn exchange(&self, engine: &Engine, client: &CloudClient, form: &Form) -> Result<Answer, Refusal> {
        let grant = form.get("grant_type");
        if grant != ON_BEHALF_OF {
            return Err(Refusal::GrantType(grant.to_owned()));
        }
        let required = ["assertion", "scope", "requested_token_use"];
        if let Some(missing) = required.into_iter().find(|name| form.get(name).is_empty()) {
            return Err(Refusal::Missing(missing));
        }
        let own = |answer| Err(Refusal::Own(answer));
        if form.get("requested_token_use") != "on_behalf_of" {
            return own(error(
                400,
                "invalid_request",
                90_023,
                "The value of requested_token_use is not supported.",
            ));
        }
        let assertion = match engine.verified(form.get("assertion")) {
            Ok(jws) => jws,
            Err(NotVerified::Expired) => {
                let text = "Assertion is not within its valid time range. Ensure that the access token is not expired \
                            before using it for user assertion, or request a new token.";
                return own(error(400, "invalid_grant", 500_133, text));
            }
            Err(NotVerified::Foreign) => {
                let text = "Assertion failed signature validation. [Reason - The key was not found.]";
                return own(error(400, "invalid_grant", 50_013, text));
            }
        };
        // An ID token has the client as its audience too; it has no `scp`.
        if assertion.audiences() != [client.id.clone()] || assertion.text("scp").is_none() {
            let text = "Assertion audience does not match the Client app presenting the assertion.";
            return own(error(400, "invalid_grant", 500_131, text));
        }
        let user = assertion.text("preferred_username").unwrap_or_default();
        match engine.user(user) {
            UserState::Active => {}
            state => return Err(Refusal::User(state)),
        }
        let scope = form.get("scope");
        if scope.rsplit_once('/').map(|(resource, _)| resource) != Some(API.0) {
            let text =
                format!("The provided value for the input parameter 'scope' is not valid. The scope {scope}");
            return own(error(400, "invalid_scope", 70_011, &text));
        }
        let token = access_token(engine, user, (API.1, &client.id), "Reports.Read");
        engine.count(Some(user), |counts| counts.exchanges_succeeded += 1);
        let lifetime = seconds(engine.config.token_lifetime);
        Ok(Answer::ok(json!({
            "token_type": "Bearer",
            "scope": format!("{}/Reports.Read", API.0),
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": token,
        })))
    }
}

fn user_claims(user: &str) -> Map<String, Value> {
    let object = fingerprint(user);
    let mut claims = Map::new();
    claims.insert("ver".to_owned(), json!("2.0"));
    claims.insert("tid".to_owned(), json!(TENANT));
    claims.insert(
        "oid".to_owned(),
        json!(format!("{}-0000-4000-8000-{}0000", &object[..8], &object[8..])),
    );
    claims.insert("name".to_owned(), json!(user));
    claims.insert("rh".to_owned(), json!("0.AXoAI_DqjjQroU2bqovIydakkA"));
    claims.insert("uti".to_owned(), json!(wire::new_id()));
    claims
}

fn access_token(engine: &Engine, user: &str, (audience, client_id): (&str, &str), scope: &str) -> String {
    let mut claims = user_claims(user);
    claims.insert("aud".to_owned(), json!(audience));
    claims.insert("azp".to_owned(), json!(client_id));
    claims.insert("azpacr".to_owned(), json!("1"));
    claims.insert("scp".to_owned(), json!(scope));
    claims.insert("sub".to_owned(), json!(Entra.subject(user, audience)));
    claims.insert("preferred_username".to_owned(), json!(user));
    engine.signed(claims, "JWT")
}
