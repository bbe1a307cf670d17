//! Sign-outs: a page that asks for confirmation, then the form.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{self, Frame};
use super::guard::{OwnForm, Visitor};
use super::lines::{SessionLine, UserLine};
use crate::app::console::refusal::ConsoleRefused;

#[derive(Template)]
#[template(path = "console/confirm.html")]
struct ConfirmPage {
    frame: Frame,
    heading: String,
    consequence: String,
    action: String,
    back: String,
    button: &'static str,
}

#[derive(Template)]
#[template(path = "console/done.html")]
struct DonePage {
    frame: Frame,
    heading: String,
    what: String,
}

/// `GET /console/sessions/{session}/sign-out`.
pub(super) async fn confirm_session(visitor: Visitor, Path(session): Path<String>) -> Response {
    let detail = match visitor.site.service.console_session(&session, None).await {
        Ok(detail) => detail,
        Err(refused) => return answer::problem(Some(&visitor.session), &refused),
    };
    let line = SessionLine::of(&detail.row);
    let user = line
        .user
        .map_or_else(|| "an unknown user".to_owned(), |user| user.label);
    answer::page(
        StatusCode::OK,
        &ConfirmPage {
            frame: Frame::still(&visitor.session, "End a session?", "sessions"),
            heading: format!("End session {} of {user}?", line.short),
            consequence: "Its client gets 401 at the next request and must log the user in again. Other sessions of the user \
                          go on; with the last one the login and its tokens end too."
                .to_owned(),
            action: format!("{}/sign-out", line.href),
            back: line.href,
            button: "End the session",
        },
    )
}

/// `GET /console/users/{grant}/sign-out`.
pub(super) async fn confirm_user(visitor: Visitor, Path(grant): Path<String>) -> Response {
    let detail = match visitor.site.service.console_user(&grant, None).await {
        Ok(detail) => detail,
        Err(refused) => return answer::problem(Some(&visitor.session), &refused),
    };
    let line = UserLine::of(&detail.row);
    answer::page(
        StatusCode::OK,
        &ConfirmPage {
            frame: Frame::still(&visitor.session, "Sign a user out?", "users"),
            heading: format!("Sign {} out everywhere?", line.label),
            consequence: format!(
                "All sessions of this user at {} end ({} known for this client), also those of other clients. Each must log in \
                 again.",
                line.issuer, detail.sessions_count
            ),
            action: format!("{}/sign-out", line.href),
            back: line.href,
            button: "Sign the user out",
        },
    )
}

/// `POST /console/sessions/{session}/sign-out`.
pub(super) async fn session(Path(session): Path<String>, own: OwnForm) -> Response {
    let operator = &own.visitor.session;
    let ended = own
        .visitor
        .site
        .service
        .console_end_session(&own.visitor.site.console, operator, &session)
        .await;
    done(
        &own,
        ended.map(|()| {
            let short = crate::digest::short(&session).to_owned();
            (
                format!("Session {short} has ended"),
                "Its client must log in again.".to_owned(),
            )
        }),
    )
}

/// `POST /console/users/{grant}/sign-out`.
pub(super) async fn user(Path(grant): Path<String>, own: OwnForm) -> Response {
    let operator = &own.visitor.session;
    let ended = own
        .visitor
        .site
        .service
        .console_sign_out_user(&own.visitor.site.console, operator, &grant)
        .await;
    done(
        &own,
        ended.map(|sessions| {
            (
                "The user is signed out".to_owned(),
                format!(
                    "{sessions} sessions have ended. Tokens that were issued before open nothing any more."
                ),
            )
        }),
    )
}

fn done(own: &OwnForm, result: Result<(String, String), ConsoleRefused>) -> Response {
    let session = &own.visitor.session;
    match result {
        Ok((heading, what)) => answer::page(
            StatusCode::OK,
            &DonePage {
                frame: Frame::still(session, heading.clone(), ""),
                heading,
                what,
            },
        ),
        Err(refused) => answer::problem(Some(session), &refused),
    }
}
