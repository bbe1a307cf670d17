//! Which server a route's requests are for, remembered: the same few routes come with every request, and a
//! configuration may name thousands of servers.

use crate::config::FilterConfig;
use crate::server_match::{ServerMatch, find_server};

/// Places; each holds the last route that fell on it. A power of two.
const PLACES: usize = 256;
/// Longer routes are looked up each time: an attacker shall not choose how much is kept.
const LONGEST_ROUTE_BYTES: usize = 512;

/// The memo of one worker: directly mapped, so it is bounded without any bookkeeping.
#[derive(Debug)]
pub struct ServerMemo {
    places: Vec<Option<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    annotation: Option<Box<[u8]>>,
    authority: Box<[u8]>,
    path: Box<[u8]>,
    found: ServerMatch,
}

impl Default for ServerMemo {
    fn default() -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(PLACES).collect(),
        }
    }
}

impl ServerMemo {
    /// [`find_server`], remembered.
    pub fn find(
        &mut self,
        config: &FilterConfig,
        annotation: Option<&[u8]>,
        authority: &[u8],
        path: &[u8],
    ) -> ServerMatch {
        let path = path
            .split(|byte| matches!(byte, b'?' | b'#'))
            .next()
            .unwrap_or_default();
        let place = place_of(annotation.unwrap_or(authority), path);
        if let Some(Some(remembered)) = self.places.get(place)
            && *remembered.path == *path
            && *remembered.authority == *authority
            && remembered.annotation.as_deref() == annotation
        {
            return remembered.found;
        }
        let found = find_server(config, annotation, authority, path);
        let bytes = annotation
            .map_or(0, <[u8]>::len)
            .saturating_add(authority.len())
            .saturating_add(path.len());
        if bytes <= LONGEST_ROUTE_BYTES
            && let Some(place) = self.places.get_mut(place)
        {
            let annotation = annotation.map(Into::into);
            *place = Some(Remembered {
                annotation,
                authority: authority.into(),
                path: path.into(),
                found,
            });
        }
        found
    }
}

/// FNV-1a over name and path: a collision costs a look-up, so nothing stronger is needed.
fn place_of(name: &[u8], path: &[u8]) -> usize {
    let hash = name.iter().chain(path).fold(0x811C_9DC5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    usize::try_from(hash).unwrap_or(0) & (PLACES - 1)
}
