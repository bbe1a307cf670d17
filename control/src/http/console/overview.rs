//! `GET /console/`: replicas, issuers, store.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::activity::EventLine;
use super::answer::{self, Frame};
use super::guard::Visitor;
use super::words::{ago, plain, span, tone};
use crate::app::console::overview::Overview;
use crate::app::console::replicas::{IssuerState, ReplicaState};
use crate::http::authorization::page::text::cut;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage {
    frame: Frame,
    engine: &'static str,
    latency_ms: String,
    store_problem: String,
    replicas: Vec<ReplicaLine>,
    knows_others: bool,
    issuers: Vec<IssuerLine>,
    refusals: Vec<EventLine>,
    knows_refusals: bool,
}

struct ReplicaLine {
    name: String,
    is_this: bool,
    version: String,
    filter: String,
    digest: String,
    store_failure: String,
    seen: String,
}

struct IssuerLine {
    issuer: String,
    replica: String,
    circuit: String,
    is_open: bool,
    last: String,
    tone: &'static str,
    in_flight: String,
}

pub(super) async fn get(visitor: Visitor) -> Response {
    let overview = visitor.site.service.console_overview().await;
    let latency_ms = overview.store.latency.as_secs_f64() * 1000.0;
    let replicas = overview.replicas.iter().enumerate();
    answer::page(
        StatusCode::OK,
        &OverviewPage {
            frame: Frame::live(&visitor.session, "Overview", "overview"),
            engine: overview.store.engine,
            latency_ms: format!("{latency_ms:.1}"),
            replicas: replicas
                .map(|(index, replica)| replica_line(replica, index == 0, overview.now_ms))
                .collect(),
            knows_others: overview.knows_others,
            issuers: issuer_lines(&overview),
            knows_refusals: overview.refusals.is_some(),
            refusals: overview
                .refusals
                .iter()
                .flatten()
                .map(|event| EventLine::of(event, overview.now_ms))
                .collect(),
            store_problem: overview.store.problem.unwrap_or_default(),
        },
    )
}

fn replica_line(replica: &ReplicaState, is_this: bool, now_ms: u64) -> ReplicaLine {
    let (filter, digest) = replica
        .filter
        .clone()
        .unwrap_or_else(|| ("none".to_owned(), String::new()));
    ReplicaLine {
        name: cut(&replica.name, 80),
        is_this,
        version: cut(&replica.version, 40),
        filter: cut(&filter, 40),
        digest,
        store_failure: match &replica.store_failure {
            Some((what, seconds)) => format!("{} ({})", cut(what, 200), ago(*seconds)),
            None => "none since its start".to_owned(),
        },
        seen: ago(now_ms.saturating_sub(replica.at_ms) / 1000),
    }
}

fn issuer_lines(overview: &Overview) -> Vec<IssuerLine> {
    let of_replicas = overview.replicas.iter().flat_map(|replica| {
        let line = |issuer| issuer_line(&replica.name, issuer, overview.now_ms);
        replica.issuers.iter().map(line)
    });
    let mut lines: Vec<IssuerLine> = of_replicas.collect();
    // What is wrong comes first.
    lines.sort_by(|one, other| {
        (!one.is_open, &one.issuer, &one.replica).cmp(&(!other.is_open, &other.issuer, &other.replica))
    });
    lines
}

fn issuer_line(replica: &str, issuer: &IssuerState, now_ms: u64) -> IssuerLine {
    IssuerLine {
        issuer: cut(&issuer.issuer, 200),
        replica: cut(replica, 80),
        is_open: issuer.circuit.is_some(),
        circuit: match &issuer.circuit {
            Some((reason, seconds)) => format!(
                "open ({}): next attempt in {}, {} calls suspended",
                if reason == "in_between" {
                    "something in between answers"
                } else {
                    "it fails for all logins"
                },
                span(*seconds),
                issuer.suspended_calls
            ),
            None => "closed".to_owned(),
        },
        last: match &issuer.last_call {
            Some((outcome, at_ms)) => {
                format!("{} {}", plain(outcome), ago(now_ms.saturating_sub(*at_ms) / 1000))
            }
            None => "no call yet".to_owned(),
        },
        tone: issuer
            .last_call
            .as_ref()
            .map_or("none", |(outcome, _)| tone(outcome)),
        in_flight: match issuer.limits {
            Some((concurrent, per_second)) => {
                format!("{} of {concurrent}, {per_second} a second", issuer.in_flight)
            }
            None => issuer.in_flight.to_string(),
        },
    }
}
