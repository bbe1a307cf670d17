//! The parameters of an authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3, RFC 8707 §2), read but not judged.

use tokenward_protocol::form::Form;

/// The longest `state` that is returned, in bytes.
pub const MAX_STATE_BYTES: usize = 2048;

/// The parameters without which no answer can be sent to the client: a fault in one of them is shown to the user.
const ADDRESS: [&str; 3] = ["client_id", "redirect_uri", "state"];
/// Those that may occur once, besides.
const ONCE: [&str; 6] = [
    "response_type",
    "response_mode",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "prompt",
];

/// Why there is no answer to a client: the user is shown an error page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// A parameter occurs more than once (RFC 6749 §3.1).
    #[error("{0} occurs more than once")]
    Repeated(&'static str),
    /// A parameter is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// `state` is longer than [`MAX_STATE_BYTES`].
    #[error("state is longer than {MAX_STATE_BYTES} bytes")]
    StateTooLong,
}

/// The parameters of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// `client_id`.
    pub client_id: String,
    /// `redirect_uri`.
    pub redirect_uri: String,
    /// `state`.
    pub state: Option<String>,
    /// `response_type`.
    pub response_type: Option<String>,
    /// `response_mode`.
    pub response_mode: Option<String>,
    /// `code_challenge`.
    pub code_challenge: Option<String>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<String>,
    /// `resource`: RFC 8707 allows several.
    pub resources: Vec<String>,
    /// `scope`.
    pub scope: Option<String>,
    /// `prompt`.
    pub prompt: Option<String>,
    /// A parameter that occurs more than once although it may not.
    pub repeated: Option<&'static str>,
}

impl Parameters {
    /// Reads a query or a form. Parameters that are not known are ignored (RFC 6749 §3.1).
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn read(form: &Form) -> Result<Self, BadAddress> {
        for name in ADDRESS {
            if form.once_or_empty(name).is_err() {
                return Err(BadAddress::Repeated(name));
            }
        }
        let value = |name: &str| form.all(name).next().map(str::to_owned);
        let required = |name: &'static str| value(name).ok_or(BadAddress::Missing(name));
        let state = value("state");
        if state.as_ref().is_some_and(|state| state.len() > MAX_STATE_BYTES) {
            return Err(BadAddress::StateTooLong);
        }
        Ok(Self {
            client_id: required("client_id")?,
            redirect_uri: required("redirect_uri")?,
            state,
            response_type: value("response_type"),
            response_mode: value("response_mode"),
            code_challenge: value("code_challenge"),
            code_challenge_method: value("code_challenge_method"),
            resources: form.all("resource").map(str::to_owned).collect(),
            scope: value("scope"),
            prompt: value("prompt"),
            repeated: ONCE.into_iter().find(|name| form.once_or_empty(name).is_err()),
        })
    }
}
