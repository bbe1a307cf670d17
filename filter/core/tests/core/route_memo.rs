use std::rc::Rc;

use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::route_memo::RouteMemo;
use tokenward_filter_core::server_match::{ServerMatch, find_server, path_without_query};

use crate::host::{FakeHost, HostOf, START_MS};
use crate::server_match::config;

/// A memo, and the host that counts its calls.
struct Routes {
    config: FilterConfig,
    host: HostOf,
    memo: RouteMemo,
}

impl Routes {
    fn new() -> Self {
        let host = HostOf(Rc::new(FakeHost::default()));
        host.0.now_ms.set(START_MS);
        Self {
            config: config(),
            host,
            memo: RouteMemo::default(),
        }
    }

    fn route(&mut self, name: Option<&str>, annotation: Option<&str>) -> &mut Self {
        *self.host.0.route_name.borrow_mut() = name.map(|name| name.as_bytes().to_vec());
        *self.host.0.annotation.borrow_mut() = annotation.map(|name| name.as_bytes().to_vec());
        self
    }

    fn find(&mut self, authority: &str, path: &str) -> ServerMatch {
        let now_ms = self.host.0.now_ms.get();
        let (authority, path) = (authority.as_bytes(), path.as_bytes());
        self.memo.find(&self.config, &self.host, authority, path, now_ms)
    }

    fn server(&mut self) -> String {
        match self.find("any", "/kube") {
            ServerMatch::Server(index) => self.config.table.servers[index].name.clone(),
            other => format!("{other:?}"),
        }
    }

    /// Names and annotations read since the last call.
    fn reads(&self) -> (usize, usize) {
        (self.host.0.names_read.take(), self.host.0.annotations_read.take())
    }
}

const ROUTE: &str = "httproute/mcp/kubernetes/rule/0/match/0/mcp_example_com";
const OTHER: &str = "httproute/mcp/kubernetes/rule/1/match/0/mcp_example_com";

#[test]
fn a_cached_route_is_what_a_look_up_finds() {
    let mut routes = Routes::new();
    let long = format!("/kube/{}", "x".repeat(600));
    let paths = [
        "/kube",
        "/kube?x=1",
        "/kube?x=2",
        "/kube/admin",
        "/elsewhere",
        "/",
        long.as_str(),
    ];
    for _ in 0..3 {
        for (name, annotation) in [
            (None, None),
            (None, Some("kube")),
            (Some(ROUTE), Some("unknown")),
            (Some(OTHER), Some("kube")),
        ] {
            for authority in ["any", "mcp.example.com", "MCP.example.com:80"] {
                for path in paths {
                    routes.route(name, annotation);
                    let looked_up = find_server(
                        &routes.config,
                        annotation.map(str::as_bytes),
                        authority.as_bytes(),
                        path_without_query(path.as_bytes()),
                    );
                    assert_eq!(routes.find(authority, path), looked_up);
                }
            }
        }
    }
    // Far more routes than places.
    routes.route(Some(ROUTE), None);
    for number in 0..20_000 {
        let path = format!("/{}/{number}", if number % 2 == 0 { "kube" } else { "other" });
        let looked_up = find_server(&routes.config, None, b"any", path.as_bytes());
        assert_eq!(routes.find("any", &path), looked_up);
    }
}

#[test]
fn the_annotation_of_a_named_route_is_read_once_a_second() {
    let mut routes = Routes::new();
    routes.route(Some(ROUTE), Some("annotated"));
    for _ in 0..100 {
        assert_eq!(routes.server(), "annotated");
    }
    assert_eq!(routes.reads(), (100, 1));
    routes.host.0.advance_ms(999);
    assert_eq!(routes.server(), "annotated");
    assert_eq!(routes.reads(), (1, 0));
    routes.host.0.advance_ms(1);
    assert_eq!(routes.server(), "annotated");
    assert_eq!(routes.reads(), (1, 1));
}

#[test]
fn a_changed_annotation_is_noticed_within_a_second() {
    let mut routes = Routes::new();
    assert_eq!(routes.route(Some(ROUTE), Some("annotated")).server(), "annotated");
    assert_eq!(routes.route(Some(ROUTE), None).server(), "annotated");
    routes.host.0.advance_ms(1_000);
    assert_eq!(routes.server(), "kube");
}

#[test]
fn routes_on_the_same_host_and_path_are_distinguished_by_name() {
    let mut routes = Routes::new();
    for _ in 0..3 {
        assert_eq!(routes.route(Some(ROUTE), Some("annotated")).server(), "annotated");
        assert_eq!(routes.route(Some(OTHER), Some("host")).server(), "host");
    }
    assert_eq!(routes.reads(), (6, 2));
}

#[test]
fn names_from_other_sources_are_not_trusted_and_read_once_a_second() {
    for name in [
        None,
        Some(""),
        Some("mcp"),
        Some("HTTPRoute/a/b"),
        Some("xhttproute/"),
    ] {
        let mut routes = Routes::new();
        for _ in 0..50 {
            assert_eq!(routes.route(name, Some("annotated")).server(), "annotated");
            assert_eq!(routes.route(name, Some("host")).server(), "host");
        }
        assert_eq!(routes.reads(), (1, 100), "{name:?}");
        routes.host.0.advance_ms(1_000);
        assert_eq!(routes.server(), "host");
        assert_eq!(routes.reads(), (1, 1));
    }
}

#[test]
fn a_clock_that_steps_back_does_not_prolong_an_old_annotation() {
    let mut routes = Routes::new();
    assert_eq!(routes.route(Some(ROUTE), Some("annotated")).server(), "annotated");
    routes.host.0.now_ms.set(START_MS - 3_600_000);
    assert_eq!(routes.route(Some(ROUTE), Some("host")).server(), "host");
}
