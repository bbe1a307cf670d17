//! The lists of users and of sessions.

use askama::Template;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{self, Frame};
use super::guard::{Visitor, parameter};
use super::lines::{SessionLine, UserLine, in_query};
use crate::app::console::listing::cursor;
use crate::store::Cursor;

#[derive(Template)]
#[template(path = "console/users.html")]
struct UsersPage {
    frame: Frame,
    lines: Vec<UserLine>,
    next: Option<String>,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "console/sessions.html")]
struct SessionsPage {
    frame: Frame,
    lines: Vec<SessionLine>,
    next: Option<String>,
    is_first: bool,
}

fn address(path: &str, next: Option<&Cursor>) -> Option<String> {
    next.map(|Cursor(cursor)| format!("{path}?after={}", in_query(cursor)))
}

/// `GET /console/users?after=CURSOR`.
pub(super) async fn users(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let after = parameter(query.as_deref(), "after");
    let listed = async {
        let after = cursor("grant", after.as_deref())?;
        visitor.site.service.console_users(after).await
    };
    match listed.await {
        Ok(listing) => answer::page(
            StatusCode::OK,
            &UsersPage {
                frame: Frame::live(&visitor.session, "Users", "users"),
                lines: listing.rows.iter().map(UserLine::of).collect(),
                next: address("/console/users", listing.next.as_ref()),
                is_first: after.is_none(),
            },
        ),
        Err(refused) => answer::problem(Some(&visitor.session), &refused),
    }
}

/// `GET /console/sessions?after=CURSOR`.
pub(super) async fn sessions(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let after = parameter(query.as_deref(), "after");
    let listed = async {
        let after = cursor("session", after.as_deref())?;
        visitor.site.service.console_sessions(after).await
    };
    match listed.await {
        Ok(listing) => answer::page(
            StatusCode::OK,
            &SessionsPage {
                frame: Frame::live(&visitor.session, "Sessions", "sessions"),
                lines: listing.rows.iter().map(SessionLine::of).collect(),
                next: address("/console/sessions", listing.next.as_ref()),
                is_first: after.is_none(),
            },
        ),
        Err(refused) => answer::problem(Some(&visitor.session), &refused),
    }
}
