//! What differs between the products: addresses, claims, and above all the words of their refusals.

use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::Answer;
use super::client::Asked;
use super::engine::Engine;
use super::logins::Login;
use super::{CloudClient, auth0, entra, google, okta};
use crate::issuer::form::Form;
use crate::issuer::{Endpoint, Failure};

/// Which product a fake cloud issuer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloudProduct {
    /// Microsoft Entra ID, the v2.0 endpoints of one tenant.
    Entra,
    /// Okta, a custom authorization server.
    Okta,
    /// Auth0.
    Auth0,
    /// Google.
    Google,
}

/// What an administrator, or the product's own policy, has done to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserState {
    /// Nothing.
    Active,
    /// The account is disabled or blocked.
    Disabled,
    /// A policy wants the user back at the login page: another factor, or a login that is recent.
    MustInteract,
    /// An administrator has withdrawn the consent to what the client requests.
    ConsentWithdrawn,
}

/// Why the token endpoint refuses.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// Client id or secret.
    Client,
    /// The refresh token is dead.
    Dead(Death),
    /// It was issued to another client.
    OfOtherClient,
    /// What was done to the user.
    User(UserState),
    /// The grant type is none that the product has.
    GrantType(String),
    /// A parameter is missing.
    Missing(&'static str),
    /// What only one product refuses, in its words.
    Own(Answer),
}

/// Why a refresh token is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// It was never issued.
    Unknown,
    /// It was not used for too long.
    Idle,
    /// An administrator, the user or the client has ended the login.
    Ended,
    /// A token that was used already came again.
    Reused,
    /// The user has logged in too often since.
    Displaced,
}

/// One product.
pub(super) trait Product: Debug + Send + Sync {
    /// The issuer identifier at this base URL (`http://127.0.0.1:PORT`).
    fn issuer(&self, base: &str) -> String;

    /// The discovery document.
    fn discovery(&self, base: &str) -> Value;

    /// Path of the authorization endpoint.
    fn authorization_path(&self) -> &'static str;

    /// Why the authorization endpoint refuses these scopes.
    fn scope_problem(&self, scopes: &[String]) -> Option<String>;

    /// Whether an authorization request is for a refresh token.
    fn is_offline(&self, query: &Form) -> bool {
        query.scopes().iter().any(|scope| scope == "offline_access")
    }

    /// The API for which logins have access tokens that name one.
    fn login_api(&self) -> Option<&'static str> {
        None
    }

    /// Path of the token endpoint.
    fn token_path(&self) -> &'static str;

    /// Path of the key set.
    fn keys_path(&self) -> &'static str;

    /// The endpoint that another path leads to; the token endpoint's is known by its grant.
    fn endpoint(&self, path: &str) -> Endpoint;

    /// `aud` of a client assertion for a request to the endpoint `url`.
    fn assertion_audience(&self, _engine: &Engine, url: &str) -> String {
        url.to_owned()
    }

    /// The longest life of a client assertion.
    fn longest_assertion_seconds(&self) -> i64;

    /// Logins of one user at one client that are alive together; a further one ends the oldest.
    fn most_logins(&self) -> usize;

    /// A refresh token, from 25 random letters and digits.
    fn refresh_token(&self, random: &str) -> String;

    /// Whether a refresh answers with the refresh token that it came with, where that does not rotate.
    fn repeats_refresh_token(&self) -> bool;

    /// One published key, from the form that RFC 7517 has.
    fn key(&self, jwk: Value) -> Value {
        jwk
    }

    /// `sub` of the user's ID tokens at a client.
    fn subject(&self, user: &str, client_id: &str) -> String;

    /// `aud` of a token that was exchanged for the product's one other API; empty where there is no exchange.
    fn api_audience(&self) -> &'static str {
        ""
    }

    /// The claims of an ID token beside `iss`, `aud`, `iat` and `exp`.
    fn id_claims(&self, engine: &Engine, login: &Login) -> Map<String, Value>;

    /// An access token of the login, a JWT or opaque.
    fn access_token(&self, engine: &Engine, login: &Login) -> String;

    /// Further members of a token response.
    fn adorn(&self, _answer: &mut Map<String, Value>) {}

    /// A refusal in the product's words.
    fn refusal(&self, engine: &Engine, refusal: &Refusal) -> Answer;

    /// Documented answers that say nothing about the presented token.
    fn passing(&self) -> Vec<Failure>;

    /// The answer to an exchange, or to whatever grant type the form has that is no refresh.
    fn exchange(&self, engine: &Engine, client: &CloudClient, form: &Form) -> Result<Answer, Refusal>;

    /// The answer of the revocation endpoint.
    fn revoke(&self, _engine: &Engine, _asked: Asked<'_>) -> Answer {
        Answer::not_found()
    }

    /// The answer of the introspection endpoint.
    fn introspect(&self, _engine: &Engine, _asked: Asked<'_>) -> Answer {
        Answer::not_found()
    }
}

impl CloudProduct {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Entra, Self::Okta, Self::Auth0, Self::Google];

    /// `dialect` in control's configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Auth0 => "auth0",
            Self::Google => "google",
        }
    }

    /// Documented answers of its token endpoint that say nothing about the presented token: throttled, or failing for a
    /// while.
    pub fn passing_failures(self) -> Vec<Failure> {
        self.product().passing()
    }

    pub(super) fn product(self) -> &'static dyn Product {
        match self {
            Self::Entra => &entra::Entra,
            Self::Okta => &okta::Okta,
            Self::Auth0 => &auth0::Auth0,
            Self::Google => &google::Google,
        }
    }
}

/// The scopes that are none of `known`, in words.
pub(super) fn unknown_scopes(scopes: &[String], is_known: impl Fn(&str) -> bool) -> Option<String> {
    let unknown: Vec<&str> = scopes
        .iter()
        .map(String::as_str)
        .filter(|scope| !is_known(scope))
        .collect();
    (!unknown.is_empty()).then(|| unknown.join(" "))
}

/// A status with a documented JSON body.
pub(super) fn failure(status: u16, body: &Value) -> Failure {
    Failure::answer(status, &body.to_string())
}

/// The same with `Retry-After`.
pub(super) fn failure_for(status: u16, body: &Value, wait: Duration) -> Failure {
    Failure::Answer {
        status,
        body: body.to_string(),
        retry_after_seconds: Some(wait.as_secs()),
    }
}
