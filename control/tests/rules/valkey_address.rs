//! The address of a Valkey: one parser for `check` and `serve`, which ignores no part of it silently.

use tokenward_control::store::valkey::address::{BadAddress, ServerRole, parse, parse_more};

#[test]
fn an_address_is_parsed_completely_or_refused_with_its_reason() {
    let good = [
        "redis://127.0.0.1",
        "redis://127.0.0.1:6379",
        "redis://127.0.0.1:6379/",
        "redis://127.0.0.1:6379/0",
        "redis://valkey_1.mcp.svc.cluster.local.:6379/15",
        "rediss://valkey.example.com/3",
        "redis://[::1]:6379/0",
        "unix:///run/valkey/valkey.sock",
        "unix:/run/valkey.sock",
        "unix:///run/valkey.sock?db=3",
        "redis+unix:///run/valkey.sock",
    ];
    for text in good {
        assert!(
            parse(text, ServerRole::Standalone).is_ok(),
            "{text}: {:?}",
            parse(text, ServerRole::Standalone).err()
        );
    }
    let bad = [
        ("", BadAddress::NotUrl),
        ("valkey:6379", BadAddress::NotUrl),
        ("http://valkey:6379", BadAddress::NotUrl),
        ("redis://default@host/0", BadAddress::Credentials),
        ("redis://:secret@host/0", BadAddress::Credentials),
        ("redis://host/zero", BadAddress::Database),
        ("redis://host/0/1", BadAddress::Database),
        ("redis://host/-1", BadAddress::Database),
        ("redis://host/+1", BadAddress::Database),
        ("redis://host//1", BadAddress::Database),
        ("redis://host/1/", BadAddress::Database),
        ("redis://host/99999999999", BadAddress::Database),
        ("redis://host/99999999999999999999999", BadAddress::Database),
        ("redis://", BadAddress::Host),
        ("redis:///0", BadAddress::Host),
        ("redis://:6379", BadAddress::Host),
        ("redis:host:6379", BadAddress::Host),
        ("redis:/host", BadAddress::Host),
        ("redis://ho%20st", BadAddress::Host),
        ("redis://a..b", BadAddress::Host),
        ("redis://0.0.0.0:6379", BadAddress::Wildcard),
        ("redis://[::]:6379", BadAddress::Wildcard),
        ("redis://host:0", BadAddress::Port),
        ("redis://host:99999", BadAddress::NotUrl),
        ("redis://host:port", BadAddress::NotUrl),
        ("redis://host?protocol=resp3", BadAddress::Parameter),
        ("redis://host?protocol=resp9", BadAddress::Parameter),
        ("redis://host/0?db=1", BadAddress::Parameter),
        ("rediss://host#insecure", BadAddress::Fragment),
        ("redis://host#anything", BadAddress::Fragment),
        ("unix://tmp/x.sock", BadAddress::SocketPath),
        ("unix:///", BadAddress::SocketPath),
        ("unix://", BadAddress::SocketPath),
        ("unix:x.sock", BadAddress::SocketPath),
        ("unix:///x?user=a&pass=b", BadAddress::Credentials),
        ("unix:///x?pass=b", BadAddress::Credentials),
        ("unix:///x?db=one", BadAddress::Database),
        ("unix:///x?db=", BadAddress::Database),
        ("unix:///x?protocol=resp3", BadAddress::Parameter),
        ("unix:///x#insecure", BadAddress::Fragment),
    ];
    for (text, why) in bad {
        assert_eq!(parse(text, ServerRole::Standalone).err(), Some(why), "{text}");
        assert!(!why.to_string().is_empty() && !why.hint().is_empty());
    }
}

#[test]
fn with_several_servers_there_are_no_sockets_and_all_have_the_same_scheme() {
    for role in [ServerRole::Sentinel, ServerRole::ClusterNode] {
        assert_eq!(
            parse("unix:///x.sock", role).err(),
            Some(BadAddress::SocketUnsupported)
        );
    }
    assert!(parse("redis://s1:26379/3", ServerRole::Sentinel).is_ok());
    assert_eq!(
        parse("redis://n1/3", ServerRole::ClusterNode).err(),
        Some(BadAddress::DatabaseInCluster)
    );
    assert!(parse("redis://n1/0", ServerRole::ClusterNode).is_ok());
    let first = parse("rediss://s1:26379/3", ServerRole::Sentinel).expect("good");
    let more = |text| parse_more(text, ServerRole::Sentinel, &first).err();
    assert_eq!(more("rediss://s2:26379"), None);
    assert_eq!(more("rediss://s2:26379/3"), None);
    assert_eq!(more("rediss://s2:26379/4"), Some(BadAddress::OtherDatabase));
    assert_eq!(more("redis://s2:26379"), Some(BadAddress::OtherTls));
}
