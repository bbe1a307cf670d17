//! One user, one session, and the explanation of a pair.

use askama::Template;
use axum::extract::{Path, RawQuery};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{self, Frame};
use super::guard::{Visitor, parameter};
use super::lines::{PairLine, SessionLine, UserLine, in_query};
use super::words::{left, plain, tone};
use crate::activity::PairRecord;
use crate::app::console::detail::{Pairs, grant_key, session_key};
use crate::app::console::refusal::ConsoleRefused;
use crate::app::explain::{ExplainedCaller, Explanation, TokenView};
use crate::http::authorization::page::text::cut;
use crate::upstream::token_kind::TokenKind;

#[derive(Template)]
#[template(path = "console/user.html")]
struct UserPage {
    frame: Frame,
    user: UserLine,
    sessions: Vec<SessionLine>,
    sessions_count: usize,
    pairs: Vec<PairLine>,
    more_pairs: Option<String>,
    sign_out: String,
}

#[derive(Template)]
#[template(path = "console/session.html")]
struct SessionPage {
    frame: Frame,
    session: SessionLine,
    is_own_login: bool,
    pairs: Vec<PairLine>,
    more_pairs: Option<String>,
    sign_out: String,
}

#[derive(Template)]
#[template(path = "console/pair.html")]
struct PairPage {
    frame: Frame,
    back: String,
    server: String,
    tone: &'static str,
    next: String,
    refusal: String,
    what_next: String,
    facts: Vec<(&'static str, String)>,
}

fn pair_lines(base: &str, pairs: &Pairs) -> (Vec<PairLine>, Option<String>) {
    let lines = pairs.rows.iter().map(|row| PairLine::of(base, row)).collect();
    let more = pairs.more_after.as_ref();
    (
        lines,
        more.map(|after| format!("{base}?servers_after={}", in_query(after))),
    )
}

/// `GET /console/users/{grant}`.
pub(super) async fn user(visitor: Visitor, Path(grant): Path<String>, RawQuery(query): RawQuery) -> Response {
    let after = parameter(query.as_deref(), "servers_after");
    let found = visitor.site.service.console_user(&grant, after.as_deref()).await;
    let detail = match found {
        Ok(detail) => detail,
        Err(refused) => return answer::problem(Some(&visitor.session), &refused),
    };
    let user = UserLine::of(&detail.row);
    let (pairs, more_pairs) = pair_lines(&user.href, &detail.pairs);
    answer::page(
        StatusCode::OK,
        &UserPage {
            frame: Frame::live(&visitor.session, user.label.clone(), "users"),
            sign_out: format!("{}/sign-out", user.href),
            user,
            sessions: detail.sessions.iter().map(SessionLine::of).collect(),
            sessions_count: detail.sessions_count,
            pairs,
            more_pairs,
        },
    )
}

/// `GET /console/sessions/{session}`.
pub(super) async fn session(
    visitor: Visitor,
    Path(session): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let after = parameter(query.as_deref(), "servers_after");
    let found = visitor
        .site
        .service
        .console_session(&session, after.as_deref())
        .await;
    let detail = match found {
        Ok(detail) => detail,
        Err(refused) => return answer::problem(Some(&visitor.session), &refused),
    };
    let session = SessionLine::of(&detail.row);
    let (pairs, more_pairs) = pair_lines(&session.href, &detail.pairs);
    answer::page(
        StatusCode::OK,
        &SessionPage {
            frame: Frame::live(&visitor.session, format!("Session {}", session.short), "sessions"),
            sign_out: format!("{}/sign-out", session.href),
            session,
            is_own_login: detail.is_own_login,
            pairs,
            more_pairs,
        },
    )
}

/// `GET /console/users/{grant}/servers/{server}`.
pub(super) async fn user_pair(visitor: Visitor, Path((grant, server)): Path<(String, String)>) -> Response {
    let caller = grant_key(&grant).map(ExplainedCaller::Grant);
    pair(&visitor, caller, &server, format!("/console/users/{grant}")).await
}

/// `GET /console/sessions/{session}/servers/{server}`.
pub(super) async fn session_pair(
    visitor: Visitor,
    Path((session, server)): Path<(String, String)>,
) -> Response {
    let caller = session_key(&session).map(ExplainedCaller::Listed);
    pair(&visitor, caller, &server, format!("/console/sessions/{session}")).await
}

async fn pair(
    visitor: &Visitor,
    caller: Result<ExplainedCaller, ConsoleRefused>,
    server: &str,
    back: String,
) -> Response {
    let explained = async {
        let caller = caller?;
        visitor.site.service.console_pair(&caller, server).await
    };
    let (explanation, seen) = match explained.await {
        Ok(explained) => explained,
        Err(refused) => return answer::problem(Some(&visitor.session), &refused),
    };
    let server = cut(&explanation.server.name, 200);
    answer::page(
        StatusCode::OK,
        &PairPage {
            frame: Frame::live(&visitor.session, format!("Why: {server}"), ""),
            back,
            tone: tone(explanation.next),
            next: plain(explanation.next),
            refusal: explanation.refusal.map(plain).unwrap_or_default(),
            what_next: explanation.what_next.clone(),
            facts: facts(&explanation, seen.as_ref()),
            server,
        },
    )
}

/// What the decision follows from.
fn facts(explanation: &Explanation, seen: Option<&PairRecord>) -> Vec<(&'static str, String)> {
    let mut facts = vec![(
        "the server gets",
        match &explanation.server.exchange_issuer {
            Some(issuer) => format!("a token exchanged at {}", cut(issuer, 200)),
            None if explanation.server.receives == TokenKind::AccessToken => {
                "the user's own access token".to_owned()
            }
            None => "the user's own ID token".to_owned(),
        },
    )];
    if !explanation.server.required_audiences.is_empty() {
        facts.push((
            "audiences that it requires",
            cut(&explanation.server.required_audiences.join(", "), 500),
        ));
    }
    if let Some(session) = &explanation.session {
        facts.push(("session, as in log lines", session.digest.clone()));
    }
    facts.extend(seen.map(|seen| ("pair, as in log lines", cut(&seen.pair, 16))));
    match &explanation.grant {
        None => facts.push(("login", "none is known".to_owned())),
        Some(grant) => {
            facts.push(("login at", cut(&grant.issuer, 200)));
            facts.push(("state of the login", plain(grant.state)));
            facts.extend(grant.reason.map(|reason| ("because", reason.to_owned())));
            let shown = |token: Option<&TokenView>| {
                token.map_or_else(
                    || "none".to_owned(),
                    |token| format!("{}, {}", plain(token.freshness), left(token.expires_in_seconds)),
                )
            };
            facts.push(("its ID token", shown(grant.id_token.as_ref())));
            if grant.access_token.is_some() || explanation.server.receives == TokenKind::AccessToken {
                facts.push(("its access token", shown(grant.access_token.as_ref())));
            }
            let answer = grant.last_issuer_answer;
            facts.extend(answer.map(|answer| ("last answer of its issuer", plain(answer))));
            facts.extend(grant.failures.as_ref().map(|failures| {
                let wait = failures.next_attempt_in_seconds;
                (
                    "failed refreshes",
                    format!(
                        "{}, {}; next attempt after {wait} s",
                        failures.count,
                        plain(failures.kind)
                    ),
                )
            }));
        }
    }
    if let Some(exchange) = &explanation.exchange {
        let token = exchange.token.as_ref();
        facts.push((
            "exchanged token",
            token.map_or_else(
                || "none".to_owned(),
                |token| format!("{}, {}", plain(token.freshness), left(token.expires_in_seconds)),
            ),
        ));
        facts.extend(exchange.failures.as_ref().map(|failures| {
            let wait = failures.next_attempt_in_seconds;
            (
                "failed exchanges",
                format!(
                    "{}, {}; next attempt after {wait} s",
                    failures.count,
                    plain(failures.kind)
                ),
            )
        }));
    }
    facts.extend(
        explanation
            .retry_after_seconds
            .map(|seconds| ("a retry can succeed after", format!("{seconds} s"))),
    );
    facts
}
