//! The columns of the replay.

/// What lies between the aggregator and the servers, and how control learns of logins: one column of the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Without the filter, as it was.
    Off,
    /// With the filter; the aggregator registers its logins with control and leaves the refreshing to it.
    On,
    /// With the filter; an unmodified aggregator, which registers nothing and refreshes by itself at the issuer.
    Unregistered,
    /// The same aggregator; the issuer's token endpoint is routed to control, which relays it.
    Relay,
}

impl Column {
    /// All, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Off, Self::On, Self::Unregistered, Self::Relay];

    /// Its name in the JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Unregistered => "unregistered",
            Self::Relay => "relay",
        }
    }

    /// Whether Envoy has the filter.
    pub(super) const fn filter_on(self) -> bool {
        !matches!(self, Self::Off)
    }

    /// Whether the aggregator registers logins with control, and sends their session handles.
    pub(super) const fn registers(self) -> bool {
        matches!(self, Self::On)
    }

    /// Whether the aggregator exchanges tokens by itself, once.
    pub(super) const fn exchanges_itself(self) -> bool {
        matches!(self, Self::Off)
    }

    /// Whether the aggregator is an unmodified one of today: it refreshes by itself on a user's call near expiry, and its
    /// servers speak both styles of MCP.
    pub(super) const fn is_unmodified(self) -> bool {
        matches!(self, Self::Unregistered | Self::Relay)
    }
}
