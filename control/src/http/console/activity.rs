//! `GET /console/activity`: what happened, and `GET /console/pairs/{pair}`: from the digest of a log line to its explanation.

use askama::Template;
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{self, Frame};
use super::guard::{Visitor, parameter};
use super::lines::{in_path, in_query};
use super::words::{ago, plain};
use crate::activity::{Event, EventKind, PairRecord};
use crate::app::console::activity::EventFilter;
use crate::app::console::listing::cursor;
use crate::http::authorization::page::text::{cut, shown};
use crate::store::Cursor;

/// One event.
pub(super) struct EventLine {
    pub(super) when: String,
    pub(super) kind: String,
    pub(super) tone: &'static str,
    pub(super) server: String,
    pub(super) user: String,
    pub(super) is_user_verified: bool,
    pub(super) session: String,
    /// The digest of the pair, and the address of its explanation.
    pub(super) pair: Option<(String, String)>,
    pub(super) refusal: String,
    pub(super) cause: String,
    pub(super) remedy: String,
    pub(super) via: &'static str,
    /// The person at the console that did it.
    pub(super) actor: String,
    pub(super) count: String,
}

impl EventLine {
    pub(super) fn of(event: &Event, now_ms: u64) -> Self {
        let text = |text: &Option<String>| text.as_deref().map(|text| cut(text, 260)).unwrap_or_default();
        let user = event.user.as_ref();
        let label = user.map(|user| {
            let names = [user.email.as_deref(), user.name.as_deref()];
            shown(names.into_iter().flatten().next().unwrap_or(&user.subject))
        });
        Self {
            when: ago(now_ms.saturating_sub(event.at_ms) / 1000),
            kind: plain(event.kind.name()),
            tone: match event.kind {
                EventKind::RefusalBegan | EventKind::RefreshFailed | EventKind::KeyDropped => "bad",
                EventKind::RefusalEnded | EventKind::Login => "good",
                EventKind::SignOut | EventKind::Reload => "none",
            },
            server: event
                .server
                .as_ref()
                .or(event.issuer.as_ref())
                .map(|name| cut(name, 200))
                .unwrap_or_default(),
            user: label.unwrap_or_default(),
            is_user_verified: event.is_user_verified,
            session: text(&event.session),
            pair: event.pair.as_ref().map(|pair| {
                let pair = cut(pair, 16);
                let href = format!("/console/pairs/{}", in_path(&pair));
                (pair, href)
            }),
            refusal: event.refusal.as_deref().map(plain).unwrap_or_default(),
            cause: text(&event.cause),
            remedy: text(&event.remedy),
            via: event.via.map_or("", crate::activity::Via::name),
            actor: event
                .actor
                .as_ref()
                .map(|person| shown(person.name.as_ref().unwrap_or(&person.subject)))
                .unwrap_or_default(),
            count: event.count.map(|count| count.to_string()).unwrap_or_default(),
        }
    }
}

#[derive(Template)]
#[template(path = "console/activity.html")]
struct ActivityPage {
    frame: Frame,
    lines: Vec<EventLine>,
    kinds: Vec<(&'static str, String, bool)>,
    text: String,
    next: Option<String>,
    is_first: bool,
    examined: usize,
}

/// `GET /console/activity?before=CURSOR&kind=KIND&text=TEXT`.
pub(super) async fn list(visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = query.as_deref();
    let (before, kind, text) = (
        parameter(query, "before"),
        parameter(query, "kind"),
        parameter(query, "text"),
    );
    let filter = EventFilter::new(kind.as_deref(), text.as_deref());
    let listed = async {
        let before = cursor("activity", before.as_deref())?;
        visitor.site.service.console_events(before, &filter).await
    };
    let listing = match listed.await {
        Ok(listing) => listing,
        Err(refused) => return answer::problem(Some(&visitor.session), &refused),
    };
    let now_ms = visitor.site.service.context.clock.now_ms();
    let name = filter.kind.map_or("", EventKind::name);
    let kinds = EventKind::ALL
        .into_iter()
        .map(|kind| (kind.name(), plain(kind.name()), Some(kind) == filter.kind));
    answer::page(
        StatusCode::OK,
        &ActivityPage {
            frame: Frame::live(&visitor.session, "Activity", "activity"),
            lines: listing
                .events
                .iter()
                .map(|event| EventLine::of(event, now_ms))
                .collect(),
            kinds: kinds.collect(),
            next: listing.next.map(|Cursor(before)| {
                format!(
                    "/console/activity?before={}&kind={name}&text={}",
                    in_query(&before),
                    in_query(&filter.text)
                )
            }),
            is_first: before.is_none(),
            examined: listing.examined,
            text: cut(&filter.text, 200),
        },
    )
}

/// The address of the explanation of a pair.
pub(super) fn address(pair: &PairRecord) -> String {
    let server = in_path(&pair.server);
    match &pair.session {
        Some(session) => format!("/console/sessions/{session}/servers/{server}"),
        None => format!("/console/users/{}/servers/{server}", pair.grant),
    }
}

/// `GET /console/pairs/{pair}`.
pub(super) async fn pair(visitor: Visitor, Path(pair): Path<String>) -> Response {
    match visitor.site.service.console_pair_record(&pair).await {
        Ok(pair) => answer::redirect(&address(&pair)),
        Err(refused) => answer::problem(Some(&visitor.session), &refused),
    }
}
