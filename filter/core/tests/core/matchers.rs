//! Matchers that no request can match, or that look like a mistake for another one.

use tokenward_filter_core::config::{FilterConfig, HostPattern};

fn parse(matcher: &str) -> Result<FilterConfig, String> {
    let text = format!(
        r#"{{"control":{{"cluster":"c","credential":{{"value":"x"}}}},
        "servers":[{{"name":"s",{matcher},"auth":{{"kind":"forward","issuer":"i"}}}}]}}"#
    );
    FilterConfig::parse(text.as_bytes(), |_| None).map_err(|error| error.to_string())
}

fn fault(field: &str, written: &str) -> String {
    let written = serde_json::Value::from(written);
    match parse(&format!(r#""{field}":{written}"#)) {
        Ok(_) => panic!("{field} {written} was accepted"),
        Err(fault) => fault,
    }
}

#[test]
fn a_path_prefix_that_no_normalised_path_has_is_a_fault_that_names_the_field() {
    for (prefix, meant) in [
        ("/kubernetes/*", Some("/kubernetes")),
        ("/kubernetes*", Some("/kubernetes")),
        ("/kubernetes/**", Some("/kubernetes")),
        ("*", None),
        ("/*", None),
        ("/kubernetes.*", Some("/kubernetes")),
        ("/kubernetes/.+", Some("/kubernetes")),
        ("/kubernetes(/.*)?", Some("/kubernetes")),
        ("/(kubernetes|github)", None),
        ("^/kubernetes", Some("/kubernetes")),
        ("/kubernetes$", Some("/kubernetes")),
        ("/kubernetes/[a-z]+", Some("/kubernetes")),
        ("/kubernetes/{id}", Some("/kubernetes")),
        ("/kubernetes/:id", None),
        (r"/kubernetes\mcp", Some("/kubernetes")),
        ("/kuber netes", Some("/kuber")),
        (" /kubernetes", Some("/kubernetes")),
        ("/kubernetes ", Some("/kubernetes")),
        ("/kubernetes\t", Some("/kubernetes")),
        ("/kubernetes\n", Some("/kubernetes")),
        ("/kubernetes\u{0}", Some("/kubernetes")),
        ("/kubernetes\u{7f}", Some("/kubernetes")),
        ("//", None),
        ("//kubernetes", Some("/kubernetes")),
        ("/kubernetes//mcp", Some("/kubernetes/mcp")),
        ("/kubernetes//", Some("/kubernetes")),
        ("/./kubernetes", None),
        ("/kubernetes/../github", Some("/kubernetes")),
        ("/kubernetes/.", Some("/kubernetes")),
        ("/kubernetes/..", Some("/kubernetes")),
        ("kubernetes", Some("/kubernetes")),
        ("https://mcp.example.com/kubernetes", None),
        ("/kubernetes?x", Some("/kubernetes")),
        ("/kubernetes#x", Some("/kubernetes")),
        ("/kubernetes/%41", Some("/kubernetes")),
        ("/kubernetes%2Fmcp", Some("/kubernetes")),
        ("/kubernetes/%zz", Some("/kubernetes")),
        ("/kubernetes/%", Some("/kubernetes")),
        ("/stra\u{df}e", Some("/stra")),
    ] {
        let fault = fault("path_prefix", prefix);
        assert!(fault.starts_with("field servers[0].path_prefix: "), "{fault}");
        let said = fault.split_once("did you mean ").map(|(_, meant)| meant);
        let expected = meant.map(|meant| format!("\"{meant}\"?"));
        assert_eq!(said, expected.as_deref(), "{prefix:?}: {fault}");
        assert!(!fault.contains(['\n', '\t', '\0']), "{fault:?}");
    }
}

#[test]
fn a_host_that_no_request_has_is_a_fault_that_names_the_field() {
    for (host, meant) in [
        ("gw.*.test", None),
        ("gw_test*", None),
        ("gw*.example.com", Some("*.example.com")),
        ("*.*.example.com", Some("*.example.com")),
        ("*gw.example.com", Some("gw.example.com")),
        ("*.", None),
        ("*", None),
        ("", None),
        ("gw.test.", Some("gw.test")),
        ("gw.test\t", Some("gw.test")),
        (" gw.test", Some("gw.test")),
        ("gw .test", None),
        ("gw..test", None),
        (".gw.test", Some("gw.test")),
        ("https://gw.test", Some("gw.test")),
        ("https://gw.test:8443/mcp", Some("gw.test")),
        ("gw.test:443", Some("gw.test")),
        ("gw.test/mcp", Some("gw.test")),
        ("user@gw.test", Some("gw.test")),
        ("^gw[.]test$", None),
        ("[::1]", None),
        ("m\u{fc}nchen.example", None),
        ("gw.test\u{0}", Some("gw.test")),
    ] {
        let fault = fault("host", host);
        assert!(fault.starts_with("field servers[0].host: "), "{fault}");
        let said = fault.split_once("did you mean ").map(|(_, meant)| meant);
        let expected = meant.map(|meant| format!("\"{meant}\"?"));
        assert_eq!(said, expected.as_deref(), "{host:?}: {fault}");
        assert!(!fault.contains(['\n', '\t', '\0']), "{fault:?}");
    }
}

#[test]
fn plain_matchers_are_taken_as_they_are_written_but_for_letter_case_and_a_last_slash() {
    for (prefix, expected) in [
        ("", ""),
        ("/", ""),
        ("/kubernetes", "/kubernetes"),
        ("/kubernetes/", "/kubernetes"),
        ("/Kube-1/v1.2/a_b~c", "/Kube-1/v1.2/a_b~c"),
        ("/.well-known/x", "/.well-known/x"),
        ("/v1/models:predict", "/v1/models:predict"),
        ("/@scope/a=b,c;d", "/@scope/a=b,c;d"),
    ] {
        let config = parse(&format!(r#""path_prefix":"{prefix}""#)).unwrap();
        assert_eq!(
            config.table.servers[0].route.as_ref().unwrap().path_prefix,
            expected
        );
    }
    for (host, expected) in [
        ("MCP.Example.com", HostPattern::Exact("mcp.example.com".into())),
        ("*.Example.com", HostPattern::Suffix(".example.com".into())),
        ("localhost", HostPattern::Exact("localhost".into())),
        ("10.0.0.1", HostPattern::Exact("10.0.0.1".into())),
        (
            "gw_1.xn--mnchen-3ya.test",
            HostPattern::Exact("gw_1.xn--mnchen-3ya.test".into()),
        ),
    ] {
        let config = parse(&format!(r#""host":"{host}""#)).unwrap();
        assert_eq!(
            config.table.servers[0].route.as_ref().unwrap().host,
            Some(expected)
        );
    }
}

#[test]
fn spans_and_numbers_beyond_their_bounds_name_the_field() {
    for (settings, field) in [
        (
            r#""control":{"cluster":"c","credential":{"value":"x"},"timeout":"720h"}"#,
            "control.timeout",
        ),
        (
            r#""control":{"cluster":"c","credential":{"value":"x"},"timeout":"61s"}"#,
            "control.timeout",
        ),
        (r#""margin":"25h""#, "margin"),
        (r#""refresh_ahead":"720h""#, "refresh_ahead"),
        (r#""warn_every":"720h""#, "warn_every"),
        (r#""gate":{"transient_first":"720h"}"#, "gate.transient_first"),
        (r#""gate":{"transient_longest":"720h"}"#, "gate.transient_longest"),
        (r#""gate":{"login_first":"720h"}"#, "gate.login_first"),
        (r#""gate":{"login_longest":"720h"}"#, "gate.login_longest"),
        (r#""gate":{"misconfigured":"720h"}"#, "gate.misconfigured"),
        (r#""replacements":1000000"#, "replacements"),
    ] {
        let control = match settings.starts_with(r#""control""#) {
            true => "",
            false => r#""control":{"cluster":"c","credential":{"value":"x"}},"#,
        };
        let text = format!(
            r#"{{{control}{settings},"servers":[{{"name":"s","auth":{{"kind":"forward","issuer":"i"}}}}]}}"#
        );
        let fault = FilterConfig::parse(text.as_bytes(), |_| None)
            .unwrap_err()
            .to_string();
        assert!(fault.starts_with(&format!("field {field}: ")), "{fault}");
    }
}
