//! The `state` of the configuration.

use tokenward_filter_core::config::FilterConfig;

fn parse(more: &str) -> Result<FilterConfig, String> {
    let text =
        format!(r#"{{"control": {{"cluster": "control", "credential": {{"value": "s3cret"}}}}, {more}}}"#);
    FilterConfig::parse(text.as_bytes(), |_| None).map_err(|error| error.to_string())
}

#[test]
fn servers_may_be_missing_only_where_they_are_learned() {
    let config = parse(r#""state": {}"#).unwrap();
    assert_eq!(config.state.unwrap().poll_every_ms, 2_000);
    assert!(config.table.servers.is_empty());
    assert!(parse(r#""state": {}, "servers": []"#).is_ok());
    assert_eq!(
        parse(r#""margin": "60s""#).unwrap_err(),
        "field servers: is missing"
    );
    let none = parse(r#""servers": []"#).unwrap_err();
    assert_eq!(none, "field servers: name between 1 and 4096 servers");
}

#[test]
fn polls_are_between_one_second_and_a_minute_apart() {
    let every = |span: &str| parse(&format!(r#""state": {{"poll_every": "{span}"}}"#));
    assert_eq!(every("1s").unwrap().state.unwrap().poll_every_ms, 1_000);
    assert_eq!(every("60s").unwrap().state.unwrap().poll_every_ms, 60_000);
    assert_eq!(
        every("999ms").unwrap_err(),
        "field state.poll_every: must be at least 1s"
    );
    for bad in ["0s", "61s", "soon"] {
        assert!(
            every(bad).unwrap_err().starts_with("field state.poll_every: "),
            "{bad}"
        );
    }
    assert!(
        parse(r#""state": {"every": "2s"}"#)
            .unwrap_err()
            .starts_with("field state.every: ")
    );
}
