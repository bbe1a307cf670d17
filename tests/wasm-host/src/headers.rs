//! Header maps as Envoy stores them: ordered, lower-case names, values of any bytes, repeats allowed.

use std::fmt;

/// An ordered multimap of header names and values; names are lower-case, values may hold any byte.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Vec<u8>, Vec<u8>)>);

impl Headers {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The pseudo-headers of a request.
    #[must_use]
    pub fn request(method: &str, authority: &str, path: &str) -> Self {
        Self::new()
            .with(":method", method)
            .with(":scheme", "http")
            .with(":authority", authority)
            .with(":path", path)
    }

    /// The map with one more header at its end.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value);
        self
    }

    /// Adds a header at the end.
    pub fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0
            .push((name.as_ref().to_ascii_lowercase(), value.as_ref().to_vec()));
    }

    /// Makes `value` the only value of `name`; adds it at the end where there was none.
    pub fn replace(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let name = name.as_ref().to_ascii_lowercase();
        let Some(first) = self.0.iter().position(|(known, _)| *known == name) else {
            self.0.push((name, value.as_ref().to_vec()));
            return;
        };
        self.0[first].1 = value.as_ref().to_vec();
        let mut index = 0;
        self.0.retain(|(known, _)| {
            index += 1;
            index - 1 <= first || *known != name
        });
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) {
        let name = name.as_ref().to_ascii_lowercase();
        self.0.retain(|(known, _)| *known != name);
    }

    /// The first value of `name`: what `proxy_get_header_map_value` returns for repeated headers.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of `name` as text, with U+FFFD for what is not UTF-8.
    #[must_use]
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<String> {
        self.get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// All values of `name`, in order.
    #[must_use]
    pub fn all(&self, name: impl AsRef<[u8]>) -> Vec<&[u8]> {
        let name = name.as_ref().to_ascii_lowercase();
        self.0
            .iter()
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.as_slice())
            .collect()
    }

    /// Every header, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// How many headers there are, repeats included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_map()
            .entries(self.iter().map(|(name, value)| {
                (
                    String::from_utf8_lossy(name).into_owned(),
                    value.escape_ascii().to_string(),
                )
            }))
            .finish()
    }
}
