//! Rows of the console's tables as text. Names come from users and issuers: they are cut, and lose what a reader cannot see.

use super::words::{ago, left, plain, tone};
use crate::app::console::view::{PairRow, SessionRow, UserRow};
use crate::http::authorization::page::text::{cut, shown};

/// The longest issuer, client or server that is shown, in characters.
const LONGEST: usize = 200;

/// A user's login.
pub(super) struct UserLine {
    pub(super) href: String,
    pub(super) label: String,
    /// The other names.
    pub(super) names: Vec<(&'static str, String)>,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) state: String,
    pub(super) tone: &'static str,
    pub(super) reason: &'static str,
    pub(super) id_token: String,
    pub(super) refreshable: bool,
    pub(super) failures: u32,
    pub(super) generation: u64,
    pub(super) logged_in: String,
    pub(super) refreshed: String,
}

impl UserLine {
    pub(super) fn of(row: &UserRow) -> Self {
        let mut names = Vec::new();
        if let Some(identity) = &row.identity {
            names.push(("subject", cut(&identity.subject, LONGEST)));
            let others = [
                ("e-mail", &identity.email),
                ("name", &identity.name),
                ("user name", &identity.username),
            ];
            for (what, name) in others {
                names.extend(name.as_ref().map(|name| (what, shown(name))));
            }
        }
        Self {
            href: format!("/console/users/{}", row.grant),
            label: shown(row.label()),
            names,
            issuer: cut(&row.issuer, LONGEST),
            client_id: cut(&row.client_id, LONGEST),
            state: plain(row.state),
            tone: tone(row.state),
            reason: row.reason,
            id_token: row.id_token_left_seconds.map_or_else(|| "none".to_owned(), left),
            refreshable: row.refreshable,
            failures: row.failures,
            generation: row.generation,
            logged_in: ago(row.logged_in_ago_seconds),
            refreshed: row
                .refreshed_ago_seconds
                .map_or_else(|| "not yet".to_owned(), ago),
        }
    }
}

/// A session.
pub(super) struct SessionLine {
    pub(super) href: String,
    pub(super) short: String,
    pub(super) user: Option<UserLine>,
}

impl SessionLine {
    pub(super) fn of(row: &SessionRow) -> Self {
        Self {
            href: format!("/console/sessions/{}", row.digest),
            short: row.short.clone(),
            user: row.user.as_ref().map(UserLine::of),
        }
    }
}

/// A pair.
pub(super) struct PairLine {
    pub(super) href: String,
    pub(super) server: String,
    pub(super) token: &'static str,
    pub(super) next: String,
    pub(super) tone: &'static str,
    pub(super) refusal: String,
    pub(super) left: String,
    pub(super) failures: u32,
    pub(super) pair: String,
    pub(super) last: String,
    pub(super) last_tone: &'static str,
}

impl PairLine {
    /// `base`: the address of the session or user.
    pub(super) fn of(base: &str, row: &PairRow) -> Self {
        Self {
            href: format!("{base}/servers/{}", in_path(&row.server)),
            server: cut(&row.server, LONGEST),
            token: row.token,
            next: plain(row.next),
            tone: tone(row.next),
            refusal: row.refusal.map(plain).unwrap_or_default(),
            left: row.left_seconds.map_or_else(|| "none".to_owned(), left),
            failures: row.failures,
            pair: row.pair.clone().unwrap_or_default(),
            last: row.last.as_ref().map_or_else(
                || "none in the last hours".to_owned(),
                |(outcome, seconds)| format!("{}, {}", plain(outcome), ago(*seconds)),
            ),
            last_tone: match &row.last {
                Some((outcome, _)) if outcome == "token" => "good",
                Some(_) => "bad",
                None => "none",
            },
        }
    }
}

/// `name` as a segment of a path.
pub(super) fn in_path(name: &str) -> String {
    let mut url = url::Url::parse("http://path/").ok();
    if let Some(mut segments) = url.as_mut().and_then(|url| url.path_segments_mut().ok()) {
        segments.push(name);
    }
    url.map_or_else(String::new, |url| url.path().trim_start_matches('/').to_owned())
}

/// `value` in a query.
pub(super) fn in_query(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
