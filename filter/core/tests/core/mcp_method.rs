use tokenward_filter_core::log::Level;
use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_filter_core::request::RequestHead;
use tokenward_protocol::refusal::Refusal;

use crate::host::{Envoy, home};

fn read(headers: &[(&'static [u8], &'static [u8])]) -> McpMethod {
    RequestHead::read(headers.iter().copied(), &[]).mcp_method
}

#[test]
fn each_name_of_the_list_is_read_as_itself_and_everything_else_as_other() {
    let names: Vec<_> = McpMethod::all().map(McpMethod::name).collect();
    assert_eq!(names.len(), McpMethod::COUNT);
    for (number, method) in McpMethod::all().enumerate() {
        assert_eq!(method.number(), number);
        let read = McpMethod::of_header(method.name().as_bytes());
        // What is not in the header cannot be claimed by the header.
        let expected = if number < 3 { McpMethod::OTHER } else { method };
        assert_eq!(read, expected, "{}", method.name());
        let is_label = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'_');
        assert!(method.name().bytes().all(is_label), "{}", method.name());
    }
    for unknown in [
        "",
        "tools",
        "tools/callx",
        "Tools/call",
        " tools/call",
        "tools/call;a=b",
        "\u{1}",
    ] {
        assert_eq!(
            McpMethod::of_header(unknown.as_bytes()),
            McpMethod::OTHER,
            "{unknown:?}"
        );
    }
    assert_eq!(McpMethod::of_header(&[0xff; 10]), McpMethod::OTHER);
}

#[test]
fn a_request_without_the_header_has_none_and_one_with_two_has_another() {
    assert_eq!(read(&[(b":method", b"POST")]), McpMethod::NONE);
    let one = read(&[(b":method", b"POST"), (b"mcp-method", b"tools/list")]);
    assert_eq!(one.name(), "tools/list");
    let twice = read(&[(b"mcp-method", b"tools/list"), (b"mcp-method", b"tools/list")]);
    assert_eq!(twice, McpMethod::OTHER);
    let with_name = read(&[(b"mcp-name", b"tools/list")]);
    assert_eq!(with_name, McpMethod::NONE);
}

#[test]
fn a_get_is_the_older_listener_whatever_its_header_says() {
    for headers in [
        &[(&b":method"[..], &b"GET"[..])][..],
        &[(b"mcp-method", b"tools/call"), (b":method", b"GET")],
        &[(b":method", b"GET"), (b"mcp-method", b"x")],
    ] {
        assert!(read(headers).is_get());
    }
    let post = read(&[(b":method", b"POST"), (b"mcp-method", b"subscriptions/listen")]);
    assert!(!post.is_get());
}

/// What clients make up reaches no line and no counter, and makes no more than one counter of each outcome.
#[test]
fn a_hundred_made_up_methods_are_one_label() {
    let mut envoy = Envoy::new(1);
    envoy.send_mcp("tools/call", 0, "/kubernetes/mcp", &home(-5));
    envoy.refuse(0, 1, Refusal::NeedsLogin);
    for number in 0..100 {
        envoy.send_mcp(&format!("made-up/{number}"), 0, "/kubernetes/mcp", &home(-5));
    }
    let counters: Vec<_> = envoy.host.counts.borrow().keys().cloned().collect();
    assert_eq!(counters.len(), 4, "{counters:#?}");
    let other = "tokenward.server=kubernetes;outcome=gated_needs_login;mcp_method=other.requests_total";
    assert_eq!(envoy.host.count_of(other), 100);
    let lines = envoy.host.lines.borrow();
    assert_eq!(lines.len(), 101);
    assert!(lines.iter().all(|(_, line)| !line.contains("made-up")));
    assert_eq!(lines[0].0, Level::Warn);
    assert!(lines[0].1.contains(" mcp_method=tools/call "), "{}", lines[0].1);
    assert!(lines[1].1.contains(" mcp_method=other "), "{}", lines[1].1);
}
