//! The configuration as it is written: JSON, strict, every field documented with its unit and default.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use tokenward_protocol::duration::deserialize_duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    /// How to reach control.
    pub(super) control: RawControl,
    /// A token with less life than this is stale. Default 60s.
    #[serde(default = "sixty_seconds", deserialize_with = "deserialize_duration")]
    pub(super) margin: Duration,
    /// A token with less life than this is fetched anew in the background. Default 120s.
    #[serde(default = "two_minutes", deserialize_with = "deserialize_duration")]
    pub(super) refresh_ahead: Duration,
    /// Headers that may carry the aggregator's session handle, in order. Default none.
    #[serde(default)]
    pub(super) session_headers: Vec<String>,
    /// Key of the HTTPRoute annotation that names the server, without the `gateway.envoyproxy.io/` prefix, which
    /// Envoy Gateway strips. Default `tokenward-server`; an empty text turns the look-up off.
    #[serde(default = "annotation")]
    pub(super) server_annotation: String,
    /// Value of `resource_metadata` in 401 challenges (RFC 9728 §5.1). Default none.
    #[serde(default)]
    pub(super) resource_metadata: Option<String>,
    /// At most one WARN per pair in this span. Default 60s.
    #[serde(default = "sixty_seconds", deserialize_with = "deserialize_duration")]
    pub(super) warn_every: Duration,
    /// How long the gate stays closed.
    #[serde(default)]
    pub(super) gate: RawGate,
    /// Replacement tokens kept per worker. Default 4096.
    #[serde(default = "four_thousand")]
    pub(super) replacements: usize,
    /// The protected servers.
    pub(super) servers: Vec<RawServer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawControl {
    /// Name of the Envoy cluster that leads to control.
    pub(super) cluster: String,
    /// `:authority` of the calls. Default: the cluster's name.
    pub(super) authority: Option<String>,
    /// The filter's credential at control.
    pub(super) credential: RawCredential,
    /// How long one call may take; a paused request is answered at the latest half a second later. Default 5s.
    #[serde(default = "five_seconds", deserialize_with = "deserialize_duration")]
    pub(super) timeout: Duration,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum RawCredential {
    /// The credential itself (tests and plain Envoy; in Kubernetes it would stand in a readable resource).
    Value(SecretString),
    /// The name of an environment variable of Envoy that holds it (`vm_config.environment_variables`).
    Env(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawGate {
    /// First closing after a transient failure; doubles each time. Default 1s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub(super) transient_first: Duration,
    /// Longest closing after transient failures. Default 60s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub(super) transient_longest: Duration,
    /// First closing when a login is needed; doubles each time. Default 5s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub(super) login_first: Duration,
    /// Longest closing when a login is needed. Default 30s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub(super) login_longest: Duration,
    /// Closing when an operator must mend something. Default 5m.
    #[serde(deserialize_with = "deserialize_duration")]
    pub(super) misconfigured: Duration,
}

impl Default for RawGate {
    fn default() -> Self {
        Self {
            transient_first: Duration::from_secs(1),
            transient_longest: Duration::from_secs(60),
            login_first: Duration::from_secs(5),
            login_longest: Duration::from_secs(30),
            misconfigured: Duration::from_secs(300),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    /// The server's name: in annotations, in the token request, in metrics and logs.
    pub(super) name: String,
    /// Host of its route: exact, or `*.example.com`. Default: any.
    pub(super) host: Option<String>,
    /// Path prefix of its route, by whole segments. Default: none; then host or annotation must find it.
    pub(super) path_prefix: Option<String>,
    /// `resource_metadata` of this server, before the general one.
    pub(super) resource_metadata: Option<String>,
    /// How its token is made.
    pub(super) auth: RawAuth,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub(super) enum RawAuth {
    /// The user's own ID token is forwarded.
    Forward {
        /// Required `iss`.
        issuer: String,
        /// Audiences that must all be in `aud`. Default none.
        #[serde(default)]
        required_audiences: Vec<String>,
    },
    /// The user's ID token is exchanged at the server's own issuer.
    Exchange {
        /// `iss` of the exchanged token.
        issuer: String,
        /// Audiences that must all be in the exchanged token. Default none.
        #[serde(default)]
        required_audiences: Vec<String>,
        /// Required `iss` of the presented token.
        subject_issuer: String,
        /// Audiences that must all be in the presented token. Default none.
        #[serde(default)]
        subject_audiences: Vec<String>,
    },
}

fn sixty_seconds() -> Duration {
    Duration::from_secs(60)
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

fn five_seconds() -> Duration {
    Duration::from_secs(5)
}

fn four_thousand() -> usize {
    4096
}

fn annotation() -> String {
    "tokenward-server".to_owned()
}
