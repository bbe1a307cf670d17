//! `servers[].match`, `listener405After` and `issuer`: what filters learn of a server besides its tokens.

use tokenward_protocol::route::{BadRoute, Route};

use super::findings::{Findings, shown};
use super::raw::{RawIssuer, RawMatch, RawServer, Text};
use super::server::ServerRoute;
use crate::yaml::Spanned;

/// What filters learn of one server.
#[derive(Debug, Default)]
pub(super) struct Routing {
    pub(super) route: ServerRoute,
    pub(super) home_issuer: Option<String>,
    pub(super) listener_405_after: Option<u32>,
}

/// Reads them one after the other: no two servers are for the same requests.
pub(super) struct Routings<'a> {
    issuers: &'a [Spanned<RawIssuer>],
    seen: Vec<(Route, &'a str)>,
}

impl<'a> Routings<'a> {
    /// For servers whose users log in at one of `issuers`.
    pub(super) const fn new(issuers: &'a [Spanned<RawIssuer>]) -> Self {
        Self {
            issuers,
            seen: Vec::new(),
        }
    }

    /// That of the server `name`; each fault is a finding.
    pub(super) fn read(&mut self, findings: &mut Findings, name: &'a str, raw: &RawServer) -> Routing {
        Routing {
            route: (raw.matcher.as_ref())
                .map(|matcher| self.route(findings, name, matcher))
                .unwrap_or_default(),
            home_issuer: (raw.issuer.as_ref()).and_then(|issuer| self.issuer(findings, issuer)),
            listener_405_after: (raw.listener_405_after.as_ref())
                .and_then(|count| listener_405_after(findings, count)),
        }
    }

    fn route(&mut self, findings: &mut Findings, name: &'a str, raw: &Spanned<RawMatch>) -> ServerRoute {
        let (host, path_prefix) = (raw.value.host.as_ref(), raw.value.path_prefix.as_ref());
        let text = |text: Option<&Text>| text.map(|text| text.value.clone());
        let written = ServerRoute {
            host: text(host),
            path_prefix: text(path_prefix),
        };
        let (place, fault) = match written.read() {
            Ok(Some(route)) => {
                if let Some((_, other)) = self.seen.iter().find(|(seen, _)| *seen == route) {
                    findings.add(
                        raw.referenced,
                        format!("match is the same as that of server {:?}", shown(other)),
                        "give each server a host or a path of its own",
                    );
                }
                self.seen.push((route, name));
                return written;
            }
            Ok(None) => (None, "match is empty".to_owned()),
            Err(BadRoute::Host(fault)) => (host, format!("match.host {fault}")),
            Err(BadRoute::PathPrefix(fault)) => (path_prefix, format!("match.pathPrefix {fault}")),
        };
        findings.add(
            place.map_or(raw.referenced, |text| text.referenced),
            fault,
            "write the host and the beginning of the path of its requests, or leave match out and annotate the HTTPRoute",
        );
        written
    }

    fn issuer(&self, findings: &mut Findings, issuer: &Text) -> Option<String> {
        let is_known = self
            .issuers
            .iter()
            .any(|known| known.value.issuer.value == issuer.value);
        if !is_known {
            findings.add(
                issuer.referenced,
                format!("issuer {:?} is none of issuers", shown(&issuer.value)),
                "write the issuer that logs the server's users in as under issuers, or leave it out for the first one",
            );
            return None;
        }
        Some(issuer.value.clone())
    }
}

fn listener_405_after(findings: &mut Findings, count: &Spanned<u32>) -> Option<u32> {
    if count.value == 0 {
        findings.add(
            count.referenced,
            "listener405After is 0",
            "write after how many refusals in a row a listener gets 405, or leave it out",
        );
    }
    (count.value > 0).then_some(count.value)
}
