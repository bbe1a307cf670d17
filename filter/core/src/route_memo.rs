//! Finds the server of a request where its route's annotation may name it.
//!
//! Reading a route's annotation is the most expensive step of a fresh request (Envoy walks protobuf messages by name for
//! it). A route's name is cheap, and Envoy Gateway gives each route a unique one, so an annotation is read again only once a
//! second for each (route, host, path). Names from other sources may repeat, so they do not identify routes. Host and path
//! alone are looked up each time: that is as cheap as a cache.

use crate::config::FilterConfig;
use crate::host::Host;
use crate::mix::mixed;
use crate::server_match::{ServerMatch, find_server, path_without_query};

/// Places; each holds the last route that mapped to it. A power of two, several for each of a thousand routes.
const PLACES: usize = 4096;
/// Longer routes are looked up each time: an attacker must not choose how much is stored.
const LONGEST_ROUTE_BYTES: usize = 512;
/// How long a read annotation is used, and so how late a changed one is noticed, milliseconds.
const ANNOTATION_MS: u64 = 1_000;
/// How Envoy Gateway names routes: `httproute/<namespace>/<name>/rule/<n>/match/<n>/<host>`
/// (`internal/gatewayapi/route.go`).
const UNIQUE_NAME_PREFIXES: [&[u8]; 2] = [b"httproute/", b"grpcroute/"];

/// The memo of one worker: directly mapped, so it is bounded without any bookkeeping.
#[derive(Debug)]
pub struct RouteMemo {
    places: Vec<Option<CachedRoute>>,
    /// Until this moment (Unix ms) names are not read: the last one was not unique.
    nameless_until_ms: u64,
}

/// What determines the server of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key<'a> {
    /// The route's name, in place of its annotation.
    name: &'a [u8],
    authority: &'a [u8],
    path: &'a [u8],
}

#[derive(Debug)]
struct CachedRoute {
    name: Box<[u8]>,
    authority: Box<[u8]>,
    path: Box<[u8]>,
    found: ServerMatch,
    /// Until when the annotation is used, Unix ms.
    until_ms: u64,
}

impl Default for RouteMemo {
    fn default() -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(PLACES).collect(),
            nameless_until_ms: 0,
        }
    }
}

impl RouteMemo {
    /// The server of the running request with this authority and path: by the route's annotation, else by host and
    /// path, or the other way round ([`ServerTable::annotation_first`](crate::config::ServerTable::annotation_first)).
    pub fn find(
        &mut self,
        config: &FilterConfig,
        host: &impl Host,
        authority: &[u8],
        path: &[u8],
        now_ms: u64,
    ) -> ServerMatch {
        let path = path_without_query(path);
        let by_route = || find_server(config, None, authority, path);
        let Some(annotation) = &config.server_annotation else {
            return by_route();
        };
        if !config.table.annotation_first {
            let found = by_route();
            // A route that leads to no server may be annotated: such a request must not just pass.
            if !matches!(found, ServerMatch::None | ServerMatch::Unmatched) {
                return found;
            }
        }
        let name = self.unique_name(host, now_ms);
        let key = name.as_deref().map(|name| Key {
            name,
            authority,
            path,
        });
        if let Some(found) = key.and_then(|key| self.cached(key, now_ms)) {
            return found;
        }
        let annotation = host.route_annotation(annotation);
        let found = find_server(config, annotation.as_deref(), authority, path);
        if let Some(key) = key {
            self.store(key, found, now_ms.saturating_add(ANNOTATION_MS));
        }
        found
    }

    /// The route's name, if it is unique to the route.
    fn unique_name(&mut self, host: &impl Host, now_ms: u64) -> Option<Vec<u8>> {
        if is_ahead(self.nameless_until_ms, now_ms) {
            return None;
        }
        let name = host.route_name();
        let telling = name.filter(|name| UNIQUE_NAME_PREFIXES.iter().any(|prefix| name.starts_with(prefix)));
        if telling.is_none() {
            self.nameless_until_ms = now_ms.saturating_add(ANNOTATION_MS);
        }
        telling
    }

    fn cached(&self, key: Key<'_>, now_ms: u64) -> Option<ServerMatch> {
        let cached = self.places.get(key.place())?.as_ref()?;
        (cached.key() == key && is_ahead(cached.until_ms, now_ms)).then_some(cached.found)
    }

    fn store(&mut self, key: Key<'_>, found: ServerMatch, until_ms: u64) {
        if key.bytes() > LONGEST_ROUTE_BYTES {
            return;
        }
        if let Some(place) = self.places.get_mut(key.place()) {
            *place = Some(CachedRoute {
                name: key.name.into(),
                authority: key.authority.into(),
                path: key.path.into(),
                found,
                until_ms,
            });
        }
    }
}

impl CachedRoute {
    fn key(&self) -> Key<'_> {
        Key {
            name: &self.name,
            authority: &self.authority,
            path: &self.path,
        }
    }
}

impl Key<'_> {
    fn bytes(&self) -> usize {
        let name_and_authority = self.name.len().saturating_add(self.authority.len());
        name_and_authority.saturating_add(self.path.len())
    }

    /// A collision costs one look-up, so a weak hash is enough.
    fn place(&self) -> usize {
        let hash = mixed(mixed(0, self.name), self.path) >> 32;
        usize::try_from(hash).unwrap_or(0) & (PLACES - 1)
    }
}

/// Whether a moment that was at most [`ANNOTATION_MS`] ahead when it was set is still ahead. One further away means that
/// the clock stepped back.
fn is_ahead(until_ms: u64, now_ms: u64) -> bool {
    (1..=ANNOTATION_MS).contains(&until_ms.saturating_sub(now_ms))
}
