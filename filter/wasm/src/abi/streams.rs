//! The streams of one VM by context id.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::stream::Stream;

/// Places of the streams that began last. A power of two.
const PLACES: usize = 64;

/// Streams by context id. The host counts ids up, so the low bits of an id are its stream's place; a stream whose place is
/// taken by an older one is in the map. Nearly every request finds its place free.
pub(super) struct Streams {
    places: Vec<Option<(u32, Stream)>>,
    others: Option<Map>,
}

type Map = HashMap<u32, Stream, BuildHasherDefault<ContextIdHasher>>;

impl Streams {
    pub(super) const fn new() -> Self {
        Self {
            places: Vec::new(),
            others: None,
        }
    }

    /// Makes the places, at the latest before the first stream; without them every stream would be in the map.
    pub(super) fn make_places(&mut self) {
        self.places.resize_with(PLACES, || None);
    }

    fn place(&mut self, context: u32) -> Option<&mut Option<(u32, Stream)>> {
        let place = usize::try_from(context).unwrap_or(0) & (PLACES - 1);
        self.places.get_mut(place)
    }

    pub(super) fn insert(&mut self, context: u32, stream: Stream) {
        match self.place(context) {
            Some(place @ None) => *place = Some((context, stream)),
            _ => self.insert_among_others(context, stream),
        }
    }

    #[cold]
    #[inline(never)]
    fn insert_among_others(&mut self, context: u32, stream: Stream) {
        self.others.get_or_insert_default().insert(context, stream);
    }

    pub(super) fn remove(&mut self, context: u32) -> Option<Stream> {
        if let Some(place) = self.place(context)
            && place.as_ref().is_some_and(|(other, _)| *other == context)
        {
            return place.take().map(|(_, stream)| stream);
        }
        self.remove_from_others(context)
    }

    #[inline(never)]
    fn remove_from_others(&mut self, context: u32) -> Option<Stream> {
        self.others.as_mut()?.remove(&context)
    }

    /// How many there are beside those in places.
    pub(super) fn others(&self) -> usize {
        self.others.as_ref().map_or(0, HashMap::len)
    }

    pub(super) fn retain(&mut self, exists: impl Fn(u32) -> bool) {
        for place in &mut self.places {
            if place.as_ref().is_some_and(|(context, _)| !exists(*context)) {
                *place = None;
            }
        }
        if let Some(others) = &mut self.others {
            others.retain(|context, _| exists(*context));
        }
    }
}

/// Uses the number itself as its hash: only for ids that the host counts up.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct ContextIdHasher(u64);

impl Hasher for ContextIdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk::<8>().copied().unwrap_or_default();
        self.0 = u64::from_le_bytes(first);
    }

    fn write_u32(&mut self, number: u32) {
        // The table takes the place from the low bits and the tag from the high ones: a counter fills only the former.
        self.0 = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
