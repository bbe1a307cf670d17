//! An explanation in plain words: what happens next, and who has to do what.

use std::time::Duration;

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use super::Next;
use super::view::{ExchangeView, Facts, FailuresView, GrantView};
use crate::refused::Refused;

pub(super) fn what_next(
    facts: &Facts<'_>,
    grant: Option<&GrantView>,
    exchange: Option<&ExchangeView>,
    caller_deadline: Duration,
) -> String {
    let Some(grant) = grant else {
        return "The aggregator must PUT this session. Until then every request is refused with 401; no issuer is \
                asked."
            .to_owned();
    };
    let failures = exchange
        .and_then(|exchange| exchange.failures.as_ref())
        .or(grant.failures.as_ref());
    match facts.next {
        Next::Serve => served(facts, grant, exchange),
        Next::Refresh => format!(
            "The next request refreshes the login at {}{}, once for all callers, and gets the new token. {}",
            grant.issuer,
            after(failures),
            under_way(grant, caller_deadline)
        ),
        Next::Exchange { refresh_first } => format!(
            "The next request {}exchanges the login's token{}, once for all callers, and gets the exchanged one. {}",
            if *refresh_first { "refreshes the login, " } else { "" },
            after(failures),
            under_way(grant, caller_deadline)
        ),
        Next::Refuse(refused) => why_not(refused, grant, failures),
    }
    .trim_end()
    .to_owned()
}

fn served(facts: &Facts<'_>, grant: &GrantView, exchange: Option<&ExchangeView>) -> String {
    let token = match exchange {
        Some(exchange) => exchange.token.as_ref(),
        None => grant.id_token.as_ref(),
    };
    let Some(token) = token else {
        return String::new();
    };
    let left = token
        .expires_in_seconds
        .saturating_sub(facts.policy.margin.as_secs().cast_signed());
    let kind = if exchange.is_some() { "exchanged" } else { "ID" };
    let ahead = if token.freshness == "near_expiry" {
        " It is near its expiry: whoever asks ahead of time brings the next one."
    } else {
        ""
    };
    let dead = if grant.never_asked_again {
        " After that the user must log in again."
    } else {
        ""
    };
    format!(
        "Every request gets the kept {kind} token, for {left} s more without asking any issuer.{ahead}{dead}"
    )
}

fn after(failures: Option<&FailuresView>) -> String {
    failures.map_or_else(String::new, |failures| {
        format!(" (after {} failed attempts: {})", failures.count, failures.kind)
    })
}

fn under_way(grant: &GrantView, caller_deadline: Duration) -> String {
    grant.intent.as_ref().map_or_else(String::new, |intent| {
        format!(
            "A refresh began {} s ago and is not written down yet: requests wait for it up to {} s, then hear 503.",
            intent.began_seconds_ago,
            caller_deadline.as_secs()
        )
    })
}

fn why_not(refused: &Refused, grant: &GrantView, failures: Option<&FailuresView>) -> String {
    let waits = failures.map_or_else(String::new, |failures| {
        format!(
            " {} failed attempts so far ({}); the next is made by the first request after {} s.",
            failures.count, failures.kind, failures.next_attempt_in_seconds
        )
    });
    match (refused.refusal, refused.refusal.class()) {
        (Refusal::NeedsLogin, _) => format!(
            "The user must log in again: {}. The issuer is not asked for this login any more; a PUT with the new login \
             opens the way at once.",
            grant.reason.unwrap_or(refused.cause.as_str())
        ),
        (Refusal::WrongAudience, _) => format!(
            "The aggregator must ask for the audience{} at login, and the user log in again: a refresh never adds one.",
            grant.id_token.as_ref().map_or_else(String::new, |token| format!(
                " {}",
                token.missing_audiences.join(", ")
            ))
        ),
        (_, RefusalClass::LoginNeeded) => format!("{}.", refused.description()),
        (_, RefusalClass::Transient) => format!(
            "Nobody has to do anything: {}. Requests hear 503 until then.{waits}",
            refused.description()
        ),
        (_, RefusalClass::Misconfigured) => {
            format!("An operator must act: {}.{waits}", refused.description())
        }
    }
}
