//! What is measured: a filter chain, a token, and how one sees that it really happened.

use super::tokens::Tokens;

#[cfg(test)]
mod tests;

/// One configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane {
    /// Its name in table, JSON and `--only`.
    pub(super) name: &'static str,
    /// The lane without the filter that its cost is added to.
    pub(super) base: &'static str,
    /// Listener.
    pub(super) chain: &'static str,
    /// Path of its requests.
    pub(super) path: &'static str,
    /// Which token it presents.
    presents: Presents,
    /// How one sees that it does what its name states.
    pub(super) evidence: Evidence,
    /// Whether requests reach the upstream with 200, or are refused with 401.
    forwarded: bool,
    /// Whether its latency is measured too.
    pub(super) with_latency: bool,
    /// Whether event streams are measured too.
    pub(super) with_stream: bool,
}

#[derive(Debug, Clone, Copy)]
enum Presents {
    Fresh,
    Stale,
    Ended,
    /// An access token of control's authorization server.
    Access,
}

/// What counts each request of a lane, besides the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing else does.
    UpstreamOnly,
    /// Answers of the ext_authz stand-in.
    Authz,
    /// A counter of Envoy.
    Counter {
        /// Its name in the Prometheus exposition.
        name: &'static str,
        /// Labels that it must have.
        labels: &'static [(&'static str, &'static str)],
    },
}

const fn outcome(labels: &'static [(&'static str, &'static str)]) -> Evidence {
    Evidence::Counter {
        name: "tokenward_requests_total",
        labels,
    }
}

/// The lane without any filter.
pub(super) const NO_FILTER: &str = "no_filter";
/// The lane that others are compared with: the cheapest useful wasm filter.
pub(super) const FLOOR: &str = "floor";

const PLAIN: Lane = Lane {
    name: NO_FILTER,
    base: NO_FILTER,
    chain: "no_filter",
    path: "/forward/mcp",
    presents: Presents::Fresh,
    evidence: Evidence::UpstreamOnly,
    forwarded: true,
    with_latency: false,
    with_stream: false,
};

/// All of them.
pub(super) const LANES: [Lane; 14] = [
    Lane {
        with_latency: true,
        with_stream: true,
        ..PLAIN
    },
    // Envoy's own refusal without any filter: a gated request does not reach the upstream either.
    Lane {
        name: "direct_response",
        base: "direct_response",
        chain: "direct_response",
        forwarded: false,
        ..PLAIN
    },
    Lane {
        name: FLOOR,
        chain: "floor",
        with_latency: true,
        with_stream: true,
        ..PLAIN
    },
    Lane {
        name: "fresh",
        chain: "tokenward",
        evidence: outcome(&[("server", "forward"), ("outcome", "forwarded")]),
        with_latency: true,
        with_stream: true,
        ..PLAIN
    },
    Lane {
        name: "fresh_named",
        chain: "tokenward_annotation",
        evidence: outcome(&[("server", "forward"), ("outcome", "forwarded")]),
        ..PLAIN
    },
    Lane {
        name: "fresh_unnamed",
        chain: "tokenward_unnamed",
        evidence: outcome(&[("server", "forward"), ("outcome", "forwarded")]),
        ..PLAIN
    },
    Lane {
        name: "fresh_annotated",
        chain: "tokenward_annotated",
        path: "/elsewhere/mcp",
        evidence: outcome(&[("server", "forward"), ("outcome", "forwarded")]),
        ..PLAIN
    },
    Lane {
        name: "replaced",
        chain: "tokenward",
        presents: Presents::Stale,
        evidence: outcome(&[("server", "forward"), ("outcome", "replaced_from_cache")]),
        with_latency: true,
        ..PLAIN
    },
    Lane {
        name: "exchange",
        chain: "tokenward",
        path: "/exchange/mcp",
        evidence: outcome(&[("server", "exchange"), ("outcome", "replaced_from_cache")]),
        ..PLAIN
    },
    // An MCP client's access token: the user's own token takes its place.
    Lane {
        name: "swapped",
        chain: "tokenward_login",
        path: "/login/mcp",
        presents: Presents::Access,
        evidence: outcome(&[("server", "login"), ("outcome", "replaced_from_cache")]),
        ..PLAIN
    },
    Lane {
        name: "gated",
        base: "direct_response",
        chain: "tokenward",
        presents: Presents::Ended,
        evidence: outcome(&[("server", "forward"), ("outcome", "gated_needs_login")]),
        forwarded: false,
        ..PLAIN
    },
    Lane {
        name: "jwt_authn_cached",
        chain: "jwt_authn_cached",
        evidence: Evidence::Counter {
            name: "envoy_http_jwt_authn_jwt_cache_hit",
            labels: &[("envoy_http_conn_manager_prefix", "jwt_authn_cached")],
        },
        ..PLAIN
    },
    Lane {
        name: "jwt_authn",
        chain: "jwt_authn",
        evidence: Evidence::Counter {
            name: "envoy_http_jwt_authn_allowed",
            labels: &[("envoy_http_conn_manager_prefix", "jwt_authn")],
        },
        ..PLAIN
    },
    Lane {
        name: "ext_authz",
        chain: "ext_authz",
        evidence: Evidence::Authz,
        ..PLAIN
    },
];

impl Lane {
    /// The token that it presents.
    pub(super) fn token<'a>(&self, tokens: &'a Tokens) -> &'a str {
        match self.presents {
            Presents::Fresh => &tokens.fresh,
            Presents::Stale => &tokens.stale,
            Presents::Ended => &tokens.ended,
            Presents::Access => &tokens.access,
        }
    }

    /// The status of every answer.
    pub(super) fn status(&self) -> u16 {
        if self.forwarded { 200 } else { 401 }
    }

    /// Whether its requests reach the upstream.
    pub(super) fn is_forwarded(&self) -> bool {
        self.forwarded
    }
}
