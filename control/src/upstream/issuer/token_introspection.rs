//! Introspection (RFC 7662) of a token that a remote issuer gave in an exchange: the response says what the token, which may
//! be opaque, does not. Pure.

use serde_json::{Map, Value};

use super::answer::{RawAnswer, Transient, refusal_of};
use crate::upstream::dialect::Dialect;
use crate::upstream::streak::StreakKind;

/// What a remote issuer reports about a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenIntrospection {
    /// It is active.
    Active(ActiveToken),
    /// It is not active, or not for this client to know of (RFC 7662 §2.2).
    NotActive,
    /// The issuer has no introspection endpoint, or does not answer this client. The text is for an operator.
    Withheld(String),
    /// A later attempt may succeed.
    Transient(Transient),
}

/// The members of a response about an active token (RFC 7662 §2.2); all of them are optional.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActiveToken {
    /// `exp`, Unix seconds.
    pub exp_seconds: Option<u64>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`, one string or a list of them.
    pub audiences: Option<Vec<String>>,
    /// `client_id`: the client that requested the token.
    pub client_id: Option<String>,
    /// `cnf`: the token is bound to a key of its holder (RFC 8705 §3.2, RFC 9449 §6.2).
    pub is_bound_to_key: bool,
}

/// Reads the response of an introspection endpoint: only `active` in a 2xx is an answer, and only an OAuth error code means
/// that this client gets none.
#[must_use]
pub fn read_token_introspection(answer: &RawAnswer, dialect: Dialect) -> TokenIntrospection {
    let members = (answer.is_success() && !answer.cut)
        .then(|| serde_json::from_slice::<Map<String, Value>>(&answer.body).ok())
        .flatten();
    match members.as_ref().and_then(|members| members.get("active")) {
        Some(Value::Bool(true)) => {
            let active = members.as_ref().and_then(active);
            active.map_or_else(
                || withheld("a member has the wrong type"),
                TokenIntrospection::Active,
            )
        }
        Some(Value::Bool(false)) => TokenIntrospection::NotActive,
        _ => match refusal_of(answer, dialect) {
            Ok(()) => withheld("the remote issuer does not answer this client"),
            Err(passing) => TokenIntrospection::Transient(Transient {
                cause: format!("introspection: {}", passing.cause),
                // An answer of something in between must not count as one of the token endpoint's.
                kind: match passing.kind {
                    StreakKind::NotOauth => StreakKind::Unreachable,
                    other => other,
                },
                ..passing
            }),
        },
    }
}

/// [`TokenIntrospection::Withheld`] because of `why`.
pub(super) fn withheld(why: &str) -> TokenIntrospection {
    TokenIntrospection::Withheld(format!("the exchanged token cannot be introspected: {why}"))
}

/// The members; `None` if one has the wrong type.
fn active(members: &Map<String, Value>) -> Option<ActiveToken> {
    let text = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => None,
    };
    Some(ActiveToken {
        exp_seconds: match members.get("exp") {
            None | Some(Value::Null) => None,
            Some(exp) => Some(exp.as_u64()?),
        },
        issuer: text("iss")?,
        subject: text("sub")?,
        audiences: match members.get("aud") {
            None | Some(Value::Null) => None,
            Some(Value::String(audience)) => Some(vec![audience.clone()]),
            Some(Value::Array(audiences)) => {
                let texts = audiences
                    .iter()
                    .map(|audience| audience.as_str().map(str::to_owned));
                Some(texts.collect::<Option<_>>()?)
            }
            Some(_) => return None,
        },
        client_id: text("client_id")?,
        is_bound_to_key: members.contains_key("cnf"),
    })
}
