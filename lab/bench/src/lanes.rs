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
    /// The lane whose added cost its own is a multiple of.
    pub(super) floor: &'static str,
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
    /// The session of a browser, in cookies of Envoy's `oauth2`, and no token.
    Cookies,
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

/// The host of every request.
pub(super) const HOST: &str = "mcp.example.com";
/// The lane without any filter.
pub(super) const NO_FILTER: &str = "no_filter";
/// The lane that others are compared with: the cheapest useful wasm filter as one writes it with the SDK.
pub(super) const FLOOR: &str = "floor";
/// The least that Envoy takes for a wasm filter, without an SDK.
pub(super) const BARE: &str = "bare";
/// What the chart installs by default, in Envoy Gateway's own filter chain; the floor in its place; and neither.
pub(super) const INSTALLED: &str = "installed";
pub(super) const INSTALLED_FLOOR: &str = "installed_floor";
pub(super) const INSTALLED_BASE: &str = "installed_base";

const PLAIN: Lane = Lane {
    name: NO_FILTER,
    base: NO_FILTER,
    floor: FLOOR,
    chain: "no_filter",
    path: "/forward/mcp",
    presents: Presents::Fresh,
    evidence: Evidence::UpstreamOnly,
    forwarded: true,
    with_latency: false,
    with_stream: false,
};

/// All of them.
pub(super) const LANES: [Lane; 18] = [
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
        name: BARE,
        chain: "bare",
        ..PLAIN
    },
    Lane {
        name: INSTALLED_BASE,
        base: INSTALLED_BASE,
        floor: INSTALLED_FLOOR,
        chain: INSTALLED_BASE,
        ..PLAIN
    },
    Lane {
        name: INSTALLED_FLOOR,
        base: INSTALLED_BASE,
        floor: INSTALLED_FLOOR,
        chain: INSTALLED_FLOOR,
        ..PLAIN
    },
    Lane {
        name: INSTALLED,
        base: INSTALLED_BASE,
        floor: INSTALLED_FLOOR,
        chain: INSTALLED,
        evidence: outcome(&[("server", "forward"), ("outcome", "forwarded")]),
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
        name: "lua",
        chain: "lua",
        evidence: Evidence::Counter {
            name: "envoy_http_lua_executions",
            labels: &[("envoy_http_conn_manager_prefix", "lua")],
        },
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
    Lane {
        name: "oauth2",
        chain: "oauth2",
        presents: Presents::Cookies,
        evidence: Evidence::Counter {
            name: "envoy_http_oauth_success",
            labels: &[("envoy_http_conn_manager_prefix", "oauth2")],
        },
        ..PLAIN
    },
];

impl Lane {
    /// The header with which it presents a token or, where there are none, a session's cookies.
    pub(super) fn credentials(&self, tokens: &Tokens, cookies: &str) -> (&'static str, String) {
        let token = match self.presents {
            Presents::Fresh => &tokens.fresh,
            Presents::Stale => &tokens.stale,
            Presents::Ended => &tokens.ended,
            Presents::Access => &tokens.access,
            Presents::Cookies => return ("cookie", cookies.to_owned()),
        };
        ("authorization", format!("Bearer {token}"))
    }

    /// Whether its chain is of Envoy Gateway.
    pub(super) fn is_installed(&self) -> bool {
        self.base == INSTALLED_BASE
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
