//! What happens to requests that no server's route matches.

use tokenward_protocol::json::{Json, quote};
use tokenward_protocol::route::{HostPattern, Route};

use super::error::BadConfig;
use super::fields::Fields;
use super::matchers::route;

/// Matchers in the list.
const MOST_UNPROTECTED: usize = 256;

/// What happens to a request that is for none of the servers.
#[derive(Debug)]
pub enum Unmatched {
    /// It passes untouched.
    Pass,
    /// It is refused, unless one of these matches it.
    Refuse {
        /// What may pass without a token, such as the documents by which clients find the login.
        unprotected: Vec<Route>,
    },
}

impl Unmatched {
    /// Whether such a request passes. `path` has no query.
    #[must_use]
    pub fn passes(&self, host: &[u8], path: &[u8]) -> bool {
        match self {
            Self::Pass => true,
            Self::Refuse { unprotected } => {
                is_normal(path) && unprotected.iter().any(|route| matches(route, host, path))
            }
        }
    }

    /// Whether the request's host matters.
    pub(super) fn looks_at_hosts(&self) -> bool {
        match self {
            Self::Pass => false,
            Self::Refuse { unprotected } => unprotected.iter().any(|route| route.host.is_some()),
        }
    }
}

/// Whether every parser takes the path for the same one: a segment that leads elsewhere, or a spelling of one, must not
/// borrow an unprotected prefix.
fn is_normal(path: &[u8]) -> bool {
    let odd = |byte: &u8| matches!(byte, b'%' | b'\\' | b';');
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    let mut plain = true;
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        plain &= !matches!(segment, b"." | b"..") && (is_last || !segment.is_empty());
    }
    plain && !path.iter().any(odd)
}

/// Whether the route matches a request with this plain host and this path.
fn matches(route: &Route, host: &[u8], path: &[u8]) -> bool {
    let prefix = route.path_prefix.as_bytes();
    let on_path = path.starts_with(prefix) && matches!(path.get(prefix.len()), None | Some(b'/'));
    on_path
        && match &route.host {
            None => true,
            Some(HostPattern::Exact(exact)) => host.eq_ignore_ascii_case(exact.as_bytes()),
            Some(HostPattern::Suffix(suffix)) => {
                let before = host.len().checked_sub(suffix.len()).filter(|before| *before > 0);
                let end = before.and_then(|before| host.get(before..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
}

/// Reads `unmatched` and `unprotected`.
pub(super) fn unmatched(fields: &mut Fields<'_>) -> Result<Unmatched, BadConfig> {
    let setting = fields.optional_text("unmatched")?;
    let unprotected = fields.take("unprotected");
    match setting.as_deref() {
        None | Some("pass") if unprotected.is_none() => Ok(Unmatched::Pass),
        None | Some("pass") => Err(fields.fault(
            "unprotected",
            "needs \"unmatched\": \"refuse\"; without it every request that no server matches passes",
        )),
        Some("refuse") => Ok(Unmatched::Refuse {
            unprotected: unprotected.map_or_else(|| Ok(Vec::new()), routes)?,
        }),
        Some(other) => Err(fields.fault(
            "unmatched",
            format!("must be \"pass\" or \"refuse\", not {}", quote(other)),
        )),
    }
}

fn routes(json: Json<'_>) -> Result<Vec<Route>, BadConfig> {
    let Json::List(items) = json else {
        return Err(BadConfig::new(
            "unprotected",
            format!("must be a list, not {}", json.kind()),
        ));
    };
    if items.len() > MOST_UNPROTECTED {
        return Err(BadConfig::new(
            "unprotected",
            format!("name {MOST_UNPROTECTED} matchers at the most"),
        ));
    }
    let mut routes = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("unprotected[{index}]");
        let mut fields = Fields::of(item, &path)?;
        let found = route(&mut fields)?;
        fields.end()?;
        routes.push(found.ok_or_else(|| BadConfig::new(&path, "needs host, path_prefix or both"))?);
    }
    Ok(routes)
}
