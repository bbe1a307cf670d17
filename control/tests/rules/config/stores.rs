//! The store.

use super::{Folder, GOOD, parse};

#[test]
fn valkey_may_be_one_server_sentinels_or_a_cluster() {
    let folder = Folder::new();
    let with = |valkey: &str| parse(&folder, &GOOD.replace("{embedded: {path: DIR/db}}", valkey));
    let good = [
        "{valkey: {url: \"redis://127.0.0.1:6379/0\"}}",
        "{valkey: {url: \"rediss://v.example.com\", username: t, password: {file: DIR/client}, key_prefix: \"t:\"}, deadline: 1s}",
        "{valkey: {url: \"redis://s1.example.com:26379\", sentinel: {service: main, more: [\"redis://s2.example.com:26379\"]}}}",
        "{valkey: {url: \"redis://n1.example.com\", cluster: {more: [\"redis://n2.example.com\"]}}}",
    ];
    for valkey in good {
        assert!(with(valkey).is_ok(), "{valkey}: {:?}", with(valkey).err());
    }
    let bad = [
        (
            "{valkey: {url: \"redis://a\", sentinel: {service: m}, cluster: {}}}",
            "both sentinel and cluster",
        ),
        ("{valkey: {url: \"http://a\"}}", "redis://"),
        (
            "{valkey: {url: \"redis://a\", sentinel: {service: m, more: [\"redis://:pw@b\"]}}}",
            "holds a user or a password",
        ),
        (
            "{valkey: {url: \"redis://a\"}, embedded: {path: x}}",
            "exactly one engine",
        ),
        (
            "{valkey: {url: \"redis://a\", password: hunter2}}",
            "{env: NAME_OF_VARIABLE}",
        ),
    ];
    for (valkey, what) in bad {
        let problems = with(valkey).expect_err(valkey);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(what), "{}", problems[0]);
        assert_eq!(problems[0].line, 3);
        assert!(!problems[0].to_string().contains("hunter2"));
    }
}
