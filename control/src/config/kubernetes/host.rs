//! Hosts that resources may name.

/// A host name, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Exactly this host, in lower case.
    Exact(String),
    /// Any name that ends so (`.example.com`), with at least one more label before.
    Below(String),
}

impl HostPattern {
    /// Reads `mcp.example.com` or `*.example.com`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(parent) => is_name(parent).then(|| Self::Below(format!(".{parent}"))),
            None => is_name(&lower).then_some(Self::Exact(lower)),
        }
    }

    /// Whether it includes `host`, a name in lower case or a pattern: `*.a.example.com` is within `*.example.com`.
    #[must_use]
    pub fn includes(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        match self {
            Self::Exact(name) => name == host,
            Self::Below(suffix) => host
                .strip_suffix(suffix.as_str())
                .is_some_and(|before| !before.is_empty() && before != "*"),
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
