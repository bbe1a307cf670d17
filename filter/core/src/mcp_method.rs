//! The MCP method of a request, as far as its headers show it: one of a fixed list of names.
//!
//! Since MCP 2026-07-28 each request names its JSON-RPC method in `Mcp-Method` (Streamable HTTP, "Standard Request Headers").
//! The header is a client's input: it reaches log lines and metrics only as one of these names, never as its own text.

use tokenward_protocol::bytes::same_bytes;

/// Every name. The first three stand for what is not in the header; the others are what clients send in the revisions
/// 2025-03-26 to 2026-07-28 and in the tasks extension.
const NAMES: [&str; 27] = [
    "none",
    "other",
    "GET",
    "tools/call",
    "tools/list",
    "resources/read",
    "resources/list",
    "resources/templates/list",
    "prompts/get",
    "prompts/list",
    "completion/complete",
    "server/discover",
    "subscriptions/listen",
    "initialize",
    "ping",
    "logging/setLevel",
    "resources/subscribe",
    "resources/unsubscribe",
    "tasks/get",
    "tasks/update",
    "tasks/cancel",
    "tasks/list",
    "tasks/result",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
];

/// What a request is for: a place in the list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct McpMethod(u8);

impl McpMethod {
    /// Number of different names: the bound of a metric's label.
    pub const COUNT: usize = NAMES.len();
    /// The request has no such header, as in revisions before 2026-07-28, or there is no single request.
    pub const NONE: Self = Self(0);
    /// The header has another value, or appears twice.
    pub const OTHER: Self = Self(1);
    /// A `GET`: the listener of revisions before 2026-07-28, whatever the header says.
    pub const GET: Self = Self(2);

    /// Every name, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0_u8..).zip(NAMES).map(|(place, _)| Self(place))
    }

    /// The method of one value of the header.
    #[must_use]
    pub fn of_header(value: &[u8]) -> Self {
        let own = usize::from(Self::GET.0).saturating_add(1);
        let found = (0_u8..).zip(NAMES).skip(own);
        let mut found = found.filter(|(_, name)| same_bytes(name.as_bytes(), value));
        found.next().map_or(Self::OTHER, |(place, _)| Self(place))
    }

    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(self.number()).copied().unwrap_or_default()
    }

    /// Its place in the list, from 0.
    #[must_use]
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// Whether the request is the listener of revisions before 2026-07-28: only for a `GET` does 405 mean that the server
    /// has no such stream. Its successor, a `POST` of `subscriptions/listen`, must get the status of any other request.
    #[must_use]
    pub fn is_get(self) -> bool {
        self == Self::GET
    }
}
