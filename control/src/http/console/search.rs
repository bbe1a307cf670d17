//! `POST /console/search`: the term is in the form, never in an address.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::ExposeSecret as _;

use super::activity::address;
use super::answer::{self, Frame};
use super::guard::OwnForm;
use super::lines::{SessionLine, UserLine};
use crate::app::console::listing::cursor;
use crate::app::console::refusal::{ConsoleRefusal, ConsoleRefused};
use crate::app::console::search::{Found, SearchStart};
use crate::console::search::SearchTerm;
use crate::http::authorization::page::text::shown as shown_text;
use crate::store::Cursor;

#[derive(Template)]
#[template(path = "console/search.html")]
struct SearchPage {
    frame: Frame,
    /// Empty where the term may be a session handle.
    term: String,
    /// The term, sealed.
    again: String,
    users: Vec<UserLine>,
    sessions: Vec<SessionLine>,
    /// Address and name of the pair's explanation.
    pair: Option<(String, String)>,
    /// How many records were examined.
    examined: Option<usize>,
    /// The form that goes on.
    next: Option<String>,
}

/// Where the form wants the search to begin.
fn start(own: &OwnForm, term: &SearchTerm) -> Result<SearchStart, ConsoleRefused> {
    let kind = if term.digest().is_some() {
        "session"
    } else {
        "grant"
    };
    match own.field("from") {
        None => Ok(SearchStart::Indexes),
        Some("all") => Ok(SearchStart::Records),
        Some(text) => Ok(cursor(kind, Some(text))?.map_or(SearchStart::Records, SearchStart::At)),
    }
}

/// What was typed, or what the form of an earlier answer goes on with.
fn term(own: &OwnForm) -> Option<SearchTerm> {
    let ring = &own.visitor.site.service.context.ring;
    match own.field("again") {
        Some(sealed) => SearchTerm::open(ring, &own.visitor.session, sealed),
        None => SearchTerm::new(own.field("term")?),
    }
}

pub(super) async fn post(own: OwnForm) -> Response {
    let session = &own.visitor.session;
    let searched = async {
        let term = term(&own).ok_or_else(|| {
            ConsoleRefused::new(
                ConsoleRefusal::BadRequest,
                "type a name, a session handle or a digest to search for",
            )
        })?;
        let start = start(&own, &term)?;
        let is_first = matches!(start, SearchStart::Indexes);
        let found = own.visitor.site.service.console_search(&term, start).await?;
        Ok::<_, ConsoleRefused>((term, is_first, found))
    };
    match searched.await {
        Ok((term, is_first, found)) => answered(&own, &term, is_first, &found),
        Err(refused) => answer::problem(Some(session), &refused),
    }
}

fn answered(own: &OwnForm, term: &SearchTerm, is_first: bool, found: &Found) -> Response {
    let users: Vec<_> = found.users.iter().map(UserLine::of).collect();
    let sessions: Vec<_> = found.sessions.iter().map(SessionLine::of).collect();
    if is_first && found.scan.is_none() {
        match (&users[..], &sessions[..], &found.pair) {
            ([user], [], None) => return answer::redirect(&user.href),
            ([], [session], None) => return answer::redirect(&session.href),
            ([], [], Some(pair)) => return answer::redirect(&address(pair)),
            _ => {}
        }
    }
    let next = match &found.scan {
        Some(scan) => scan.next.as_ref().map(|Cursor(cursor)| cursor.clone()),
        None => Some("all".to_owned()),
    };
    let visitor = &own.visitor;
    let sealed = match term.seal(&visitor.site.service.context.ring, &visitor.session) {
        Ok(sealed) => sealed,
        Err(error) => return answer::problem(Some(&visitor.session), &error.into()),
    };
    answer::page(
        StatusCode::OK,
        &SearchPage {
            frame: Frame::still(&own.visitor.session, "Search", ""),
            term: term.shown().map(shown_text).unwrap_or_default(),
            again: sealed.expose_secret().to_owned(),
            users,
            sessions,
            pair: found
                .pair
                .as_ref()
                .map(|pair| (address(pair), shown_text(&pair.server))),
            examined: found.scan.as_ref().map(|scan| scan.examined),
            next,
        },
    )
}
