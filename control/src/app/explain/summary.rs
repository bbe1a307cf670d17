//! The text of an explanation: what happens next, and what the user, the aggregator or an operator has to do.

use std::time::Duration;

use tokenward_protocol::refusal::{Refusal, RefusalClass};

use super::view::{ExchangeView, Explanation, FailuresView, GrantView, Inputs};
use super::{FreshAction, NextAction};
use crate::refused::Refused;
use crate::upstream::token_kind::TokenKind;

/// One or two sentences for `what_next`.
pub(super) fn what_next(inputs: &Inputs<'_>, explanation: &Explanation, caller_deadline: Duration) -> String {
    let exchange = explanation.exchange.as_ref();
    let Some(grant) = explanation.grant.as_ref() else {
        return unregistered(inputs, explanation.session.is_some());
    };
    let failures = exchange
        .and_then(|exchange| exchange.failures.as_ref())
        .or(grant.failures.as_ref());
    match inputs.next {
        NextAction::Serve => served(inputs, grant, exchange),
        NextAction::Refresh => format!(
            "The next request refreshes the login at {}{}, once for all callers, and gets the new token. {}",
            grant.issuer,
            after(failures),
            in_progress(grant, caller_deadline)
        ),
        NextAction::Exchange { refresh_first } => format!(
            "The next request {}exchanges the login's token{}, once for all callers, and gets the exchanged one. {}",
            if *refresh_first { "refreshes the login, " } else { "" },
            after(failures),
            in_progress(grant, caller_deadline)
        ),
        NextAction::Refuse(refused) => {
            let is_here = (explanation.session.as_ref()).is_some_and(|session| session.logged_in == "here");
            self::refused(refused, grant, failures, is_here)
        }
    }
    .trim_end()
    .to_owned()
}

fn served(inputs: &Inputs<'_>, grant: &GrantView, exchange: Option<&ExchangeView>) -> String {
    let is_access_token = inputs.receives() == TokenKind::AccessToken;
    let token = match exchange {
        Some(exchange) => exchange.token.as_ref(),
        None if is_access_token => grant.access_token.as_ref(),
        None => grant.id_token.as_ref(),
    };
    let Some(token) = token else {
        return String::new();
    };
    let left = token
        .expires_in_seconds
        .saturating_sub(inputs.policy.margin.as_secs().cast_signed());
    let kind = match exchange {
        Some(_) => "exchanged",
        None if is_access_token => "access",
        None => "ID",
    };
    let ahead = if token.freshness == "near_expiry" {
        " It is near its expiry: a request ahead of time fetches the next one."
    } else {
        ""
    };
    let dead = if grant.never_asked_again {
        " After that the user must log in again."
    } else {
        ""
    };
    format!(
        "Every request gets the stored {kind} token, for {left} s more without a call to any issuer.{ahead}{dead}"
    )
}

fn after(failures: Option<&FailuresView>) -> String {
    failures.map_or_else(String::new, |failures| {
        format!(" (after {} failed attempts: {})", failures.count, failures.kind)
    })
}

fn in_progress(grant: &GrantView, caller_deadline: Duration) -> String {
    grant.intent.as_ref().map_or_else(String::new, |intent| {
        format!(
            "A refresh began {} s ago and its outcome is not stored yet: requests wait for it up to {} s, then get 503.",
            intent.began_seconds_ago,
            caller_deadline.as_secs()
        )
    })
}

fn refused(refused: &Refused, grant: &GrantView, failures: Option<&FailuresView>, is_here: bool) -> String {
    let new_login = if is_here {
        "the user logged in here, so the MCP client starts the next login once its refresh is refused"
    } else {
        "a PUT with the new login takes effect at once"
    };
    let waits = failures.map_or_else(String::new, |failures| {
        format!(
            " {} failed attempts so far ({}); the next is made by the first request after {} s.",
            failures.count, failures.kind, failures.next_attempt_in_seconds
        )
    });
    match (refused.refusal, refused.refusal.class()) {
        (Refusal::NeedsLogin, _) => format!(
            "The user must log in again: {}. Control no longer calls the issuer for this login; {new_login}.",
            grant.reason.unwrap_or(refused.cause.as_str())
        ),
        (Refusal::WrongAudience, _) => format!(
            "The aggregator must request the audience{} at login, and the user must log in again: a refresh never adds one.",
            missing(grant)
        ),
        (_, RefusalClass::LoginNeeded) => format!("{}.", refused.description()),
        (_, RefusalClass::Transient) => format!(
            "No action is needed: {}. Requests get 503 until then.{waits}",
            refused.description()
        ),
        (_, RefusalClass::Misconfigured) => {
            format!("An operator must act: {}.{waits}", refused.description())
        }
    }
}

/// The audiences that the server requires and the token that it would get lacks, after a space.
fn missing(grant: &GrantView) -> String {
    let tokens = [&grant.id_token, &grant.access_token];
    let missing: Vec<&str> = tokens
        .into_iter()
        .flatten()
        .flat_map(|token| token.missing_audiences.iter().map(String::as_str))
        .collect();
    if missing.is_empty() {
        return String::new();
    }
    format!(" {}", missing.join(", "))
}

/// What an unregistered user gets, and what would change that.
fn unregistered(inputs: &Inputs<'_>, names_session: bool) -> String {
    let who = if names_session {
        "Not registered: no login is known for this session."
    } else {
        "Not registered: no login of this user is known."
    };
    let fresh = match inputs.fresh {
        None | Some(FreshAction::Forward) => "A fresh token is forwarded as it is.",
        Some(FreshAction::Serve) => {
            "A request with a fresh token gets the stored exchanged token, without a call to any issuer."
        }
        Some(FreshAction::Exchange) => "A fresh token is exchanged, once for all callers.",
        Some(FreshAction::Refuse) if inputs.server.remote.is_none() => {
            "The server gets the access token of a login, so requests with a fresh token get 503."
        }
        Some(FreshAction::Refuse) => {
            "The last exchange failed: requests with a fresh token get 503 until the next attempt."
        }
    };
    let exchange = if inputs.server.remote.is_some() {
        " An aggregator that exchanges by itself shares these exchanges at control's exchange endpoint for this server."
    } else {
        ""
    };
    format!(
        "{who} {fresh} A stale one is refused with 401, and no issuer is called. Control can renew tokens once it has the \
         login: the aggregator must PUT its sessions, or the issuer's token endpoint must lead through control \
         (issuers[].relay).{exchange}"
    )
}
