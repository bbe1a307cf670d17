//! The line of an event: one JSON object, with the fields of docs/audit.md in a fixed order.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::activity::event::{Event, User, Via};

/// Version of the schema: it grows when a field changes its meaning or goes away, not when one is added.
pub const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    target: &'static str,
    schema: u32,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pair: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<UserFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct UserFields<'a> {
    issuer: &'a str,
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    verified: bool,
}

impl<'a> UserFields<'a> {
    fn of(user: &'a User, verified: bool) -> Self {
        Self {
            issuer: &user.issuer,
            subject: &user.subject,
            email: user.email.as_deref(),
            name: user.name.as_deref(),
            verified,
        }
    }
}

/// The line of `event`, with its line break.
#[must_use]
pub fn of(event: &Event) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(event.at_ms);
    let line = Line {
        time: humantime::format_rfc3339_millis(at).to_string(),
        target: "audit",
        schema: SCHEMA,
        kind: event.kind.name(),
        server: event.server.as_deref(),
        issuer: event.issuer.as_deref(),
        pair: event.pair.as_deref(),
        session: event.session.as_deref(),
        grant: event.grant.as_deref(),
        user: (event.user.as_ref()).map(|user| UserFields::of(user, event.is_user_verified)),
        via: event.via.map(Via::name),
        // Logged in at the console.
        actor: event.actor.as_ref().map(|actor| UserFields::of(actor, true)),
        outcome: event.refusal.as_deref(),
        cause: event.cause.as_deref(),
        remedy: event.remedy.as_deref(),
        count: event.count,
    };
    // Strings and numbers always serialize.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}
