//! Finds a server among thousands without a scan: by its name, or by host and path.

use std::cmp::Ordering;
use std::rc::Rc;

use tokenward_protocol::bytes::{order_of_bytes, same_bytes};
use tokenward_protocol::route::HostPattern;

use super::servers::Server;

/// Positions in the list of servers, sorted for looking up.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerIndex {
    /// In the order of the names.
    by_name: Vec<usize>,
    /// Those with a route, in the order of (path prefix, host); among equal ones the first of the configuration first.
    by_route: Vec<usize>,
    /// Lengths of the path prefixes, longest first, each once.
    prefix_lengths: Vec<usize>,
    /// Lengths of the host suffixes, longest first, each once.
    suffix_lengths: Vec<usize>,
    /// Whether a route has a host without a wildcard.
    has_exact: bool,
}

/// A route's host, or the part of a request's host that a route may name.
#[derive(Debug, Clone, Copy)]
enum HostKey<'a> {
    Any,
    Suffix(&'a [u8]),
    Exact(&'a [u8]),
}

impl ServerIndex {
    /// The index of these servers.
    ///
    /// Inserts by binary search instead of sorting: a sort would be an eighth of the whole module.
    #[must_use]
    pub(crate) fn new(servers: &[Rc<Server>]) -> Self {
        let mut index = Self::default();
        for (at, server) in servers.iter().enumerate() {
            let name = server.name.as_bytes();
            let is_before = |other: &usize| {
                let other = servers.get(*other).map(|other| other.name.as_bytes());
                other.is_some_and(|other| order_of_bytes(other, name).is_le())
            };
            let place = index.by_name.partition_point(is_before);
            index.by_name.insert(place, at);
            let Some(route) = key(servers, at) else { continue };
            let is_before =
                |other: &usize| key(servers, *other).is_some_and(|other| compare(other, route).is_le());
            let place = index.by_route.partition_point(is_before);
            index.by_route.insert(place, at);
            let (prefix, host) = route;
            insert_longest_first(&mut index.prefix_lengths, prefix.len());
            match host {
                HostKey::Any => {}
                HostKey::Suffix(suffix) => insert_longest_first(&mut index.suffix_lengths, suffix.len()),
                HostKey::Exact(_) => index.has_exact = true,
            }
        }
        index
    }

    /// Whether some route has a host.
    #[must_use]
    pub(crate) fn has_hosts(&self) -> bool {
        self.has_exact || !self.suffix_lengths.is_empty()
    }

    /// The server with this name.
    #[must_use]
    pub(crate) fn named(&self, servers: &[Rc<Server>], name: &[u8]) -> Option<usize> {
        let of = |at: &usize| servers.get(*at).map(|server| server.name.as_bytes());
        let is_before = |at: &usize| of(at).is_some_and(|other| order_of_bytes(other, name).is_lt());
        let at = self.by_name.get(self.by_name.partition_point(is_before))?;
        of(at).filter(|other| same_bytes(other, name)).map(|_| *at)
    }

    /// The server with the most specific matching route, as Gateway API orders routes: exact host, longer wildcard, any host;
    /// then the longer path. `path` has no query.
    #[must_use]
    pub(crate) fn routed(&self, servers: &[Rc<Server>], host: &[u8], path: &[u8]) -> Option<usize> {
        let suffixes = self.suffix_lengths.iter().filter_map(|length| {
            // At least one more label stands before it.
            let before = host.len().checked_sub(*length).filter(|before| *before > 0)?;
            host.get(before..).map(HostKey::Suffix)
        });
        let exact = self.has_exact.then_some(HostKey::Exact(host));
        let mut hosts = exact.into_iter().chain(suffixes).chain([HostKey::Any]);
        hosts.find_map(|host| {
            let mut prefixes = self.prefix_lengths.iter().filter_map(|length| {
                let ends = matches!(path.get(*length), None | Some(b'/'));
                path.get(..*length).filter(|_| ends)
            });
            prefixes.find_map(|prefix| self.at(servers, (prefix, host)))
        })
    }

    fn at(&self, servers: &[Rc<Server>], wanted: (&[u8], HostKey<'_>)) -> Option<usize> {
        let order =
            |at: &usize| key(servers, *at).map_or(Ordering::Greater, |present| compare(present, wanted));
        let place = self.by_route.partition_point(|at| order(at).is_lt());
        let at = self.by_route.get(place)?;
        order(at).is_eq().then_some(*at)
    }
}

fn key(servers: &[Rc<Server>], at: usize) -> Option<(&[u8], HostKey<'_>)> {
    let route = servers.get(at)?.route.as_ref()?;
    let host = match &route.host {
        None => HostKey::Any,
        Some(HostPattern::Suffix(suffix)) => HostKey::Suffix(suffix.as_bytes()),
        Some(HostPattern::Exact(exact)) => HostKey::Exact(exact.as_bytes()),
    };
    Some((route.path_prefix.as_bytes(), host))
}

/// Any order that is the same everywhere. Hosts are compared without regard to letter case.
fn compare(one: (&[u8], HostKey<'_>), other: (&[u8], HostKey<'_>)) -> Ordering {
    let (one_kind, one_host) = one.1.parts();
    let (other_kind, other_host) = other.1.parts();
    let by_route = order_of_bytes(one.0, other.0).then(one_kind.cmp(&other_kind));
    by_route.then_with(|| {
        let one = one_host.iter().map(u8::to_ascii_lowercase);
        one.cmp(other_host.iter().map(u8::to_ascii_lowercase))
    })
}

impl<'a> HostKey<'a> {
    fn parts(self) -> (u8, &'a [u8]) {
        match self {
            Self::Any => (0, &[]),
            Self::Suffix(suffix) => (1, suffix),
            Self::Exact(exact) => (2, exact),
        }
    }
}

fn insert_longest_first(lengths: &mut Vec<usize>, length: usize) {
    let place = lengths.partition_point(|other| *other > length);
    if lengths.get(place) != Some(&length) {
        lengths.insert(place, length);
    }
}
