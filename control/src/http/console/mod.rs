//! The operators' console: pages, forms, two static files and a stream of events, at the host of `console.public_url` only.

mod activity;
mod answer;
mod assets;
mod cookie;
mod details;
mod events;
mod guard;
mod lines;
mod lists;
mod login;
mod overview;
mod search;
mod sign_out;
mod words;

use axum::Router;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

use self::guard::Site;
use crate::app::Current;
use crate::app::console::refusal::ConsoleRefusal;

/// The first page.
const FIRST: &str = "/console/";

/// All of it.
pub(super) fn router() -> Router<Current> {
    super::router(routes()).fallback(not_found)
}

fn routes() -> Vec<(&'static str, MethodRouter<Current>)> {
    vec![
        ("/", get(first)),
        ("/console", get(first)),
        (FIRST, get(overview::get)),
        ("/console/users", get(lists::users)),
        ("/console/users/{grant}", get(details::user)),
        (
            "/console/users/{grant}/sign-out",
            get(sign_out::confirm_user).post(sign_out::user),
        ),
        ("/console/users/{grant}/servers/{server}", get(details::user_pair)),
        ("/console/sessions", get(lists::sessions)),
        ("/console/sessions/{session}", get(details::session)),
        (
            "/console/sessions/{session}/sign-out",
            get(sign_out::confirm_session).post(sign_out::session),
        ),
        (
            "/console/sessions/{session}/servers/{server}",
            get(details::session_pair),
        ),
        ("/console/activity", get(activity::list)),
        ("/console/pairs/{pair}", get(activity::pair)),
        ("/console/search", post(search::post).get(first)),
        ("/console/events", get(events::get)),
        ("/console/login", get(login::begin)),
        ("/console/callback", get(login::callback)),
        ("/console/logout", post(login::logout)),
        (assets::STYLE_PATH, get(assets::style)),
        (assets::SCRIPT_PATH, get(assets::script)),
    ]
}

async fn first(_: Site) -> Response {
    answer::redirect(FIRST)
}

async fn not_found(_: Site) -> Response {
    answer::problem(None, &ConsoleRefusal::NotFound.into())
}
