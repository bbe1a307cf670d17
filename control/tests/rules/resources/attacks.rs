//! What a writer of resources may try, and does not get.

use serde_json::json;
use tokenward_control::filter_state::server_list::{PublishedList, server_list_json};
use tokenward_control::servers::resources::{LastGood, judge};
use tokenward_kubernetes::Outcome;
use tokenward_protocol::filter_state::{MAX_SERVERS, MAX_SERVERS_BYTES};

use super::{config, config_with, exchanging, forwarding, judged, list, only, outcomes};

const REMOTE: &str = "https://dex.remote.example.com/token";

#[test]
fn users_tokens_are_sent_only_to_hosts_that_the_operator_allows() {
    for endpoint in [
        "https://evil.example.org/token",
        "https://remote.example.com/token",
        "https://dex.remote.example.com.evil.org/token",
        "https://169.254.169.254/token",
        "https://kubernetes.default.svc/token",
    ] {
        let (outcome, reason, message) = only(exchanging("muster/far", 1, endpoint, json!({})));
        assert_eq!(
            (outcome, reason),
            (Outcome::Rejected, "EndpointNotAllowed"),
            "{endpoint}"
        );
        assert!(message.contains("kubernetes.exchange_hosts"), "{message}");
    }
    let none = config_with("{resources: [{namespaces: [muster]}]}");
    let judged = judge(
        &none,
        &list(vec![exchanging("muster/far", 1, REMOTE, json!({}))]),
        &LastGood::new(),
    );
    assert_eq!(outcomes(&judged), [(Outcome::Rejected, "EndpointNotAllowed")]);
}

#[test]
fn the_endpoint_through_control_does_not_hide_where_tokens_go() {
    let led = exchanging(
        "muster/far",
        1,
        "https://dex.remote.example.com/exchange/far/token",
        json!({"expectedIssuer": "https://evil.example.org"}),
    );
    assert_eq!(only(led).1, "EndpointNotAllowed");
}

#[test]
fn an_allowance_that_is_withdrawn_ends_a_server_that_used_it() {
    let resources = || list(vec![exchanging("muster/far", 1, REMOTE, json!({}))]);
    let first = judge(&config(), &resources(), &LastGood::new());
    assert_eq!(outcomes(&first), [(Outcome::Accepted, "Accepted")]);
    let none = config_with("{resources: [{namespaces: [muster]}]}");
    let second = judge(&none, &resources(), &first.last_good);
    assert_eq!(outcomes(&second), [(Outcome::Rejected, "EndpointNotAllowed")]);
    // Also where an edit that is wrong would have held it.
    let mut edited = exchanging("muster/far", 1, REMOTE, json!({}));
    edited.spec["auth"]["tokenExchange"]["connectorId"] = json!("!");
    let third = judge(&none, &list(vec![edited]), &first.last_good);
    assert_eq!(third.verdicts[0].outcome, Outcome::Rejected);
    assert!(third.servers.is_empty());
}

#[test]
fn the_paths_of_a_server_of_the_configuration_cannot_be_taken_over() {
    let section = "{resources: [{namespaces: [muster, other]}]}";
    let mut config = config_with(section);
    config.servers[0].route.host = Some("*.example.com".to_owned());
    config.servers[0].route.path_prefix = Some("/kubernetes".to_owned());
    let resources = vec![
        forwarding("muster/same", 1, "https://mcp.example.com/kubernetes"),
        forwarding("muster/below", 2, "https://mcp.example.com/kubernetes/admin"),
        forwarding("muster/beside", 3, "https://mcp.example.com/kubernetes-2"),
    ];
    let judged = judge(&config, &list(resources), &LastGood::new());
    let taken = (Outcome::Rejected, "URLTaken");
    assert_eq!(outcomes(&judged), [taken, taken, (Outcome::Accepted, "Accepted")]);
}

#[test]
fn a_path_below_anothers_is_for_its_own_namespace_only() {
    let judged = judged(vec![
        forwarding("muster/all", 1, "https://mcp.example.com/team"),
        forwarding("muster/own-part", 2, "https://mcp.example.com/team/part"),
        forwarding("other/foreign-part", 3, "https://mcp.example.com/team/secrets"),
        forwarding("other/same", 4, "https://mcp.example.com/team"),
    ]);
    let (accepted, taken) = ((Outcome::Accepted, "Accepted"), (Outcome::Rejected, "URLTaken"));
    assert_eq!(outcomes(&judged), [accepted, accepted, taken, taken]);
}

#[test]
fn failures_of_one_endpoint_cannot_be_blamed_on_the_issuer_of_another() {
    let with_issuer = |path: &str, created, endpoint: &str, issuer: &str| {
        exchanging(path, created, endpoint, json!({"expectedIssuer": issuer}))
    };
    let judged = judged(vec![
        with_issuer("muster/real", 1, REMOTE, "https://dex.remote.example.com"),
        with_issuer(
            "other/fake",
            2,
            "https://mine.remote.example.com/token",
            "https://dex.remote.example.com",
        ),
        with_issuer(
            "other/home",
            3,
            "https://mine.remote.example.com/token",
            "https://dex.example.com",
        ),
        with_issuer("muster/second", 4, REMOTE, "https://dex.remote.example.com"),
    ]);
    let (accepted, taken) = (
        (Outcome::Accepted, "Accepted"),
        (Outcome::Rejected, "IssuerTaken"),
    );
    assert_eq!(outcomes(&judged), [accepted, taken, taken, accepted]);
}

#[test]
fn nothing_that_is_refused_claims_anything() {
    let judged = judged(vec![
        exchanging("other/squatter", 1, "https://evil.example.org/token", json!({})),
        forwarding("muster/squatter", 2, "https://mcp.example.com/squatter"),
    ]);
    assert_eq!(outcomes(&judged)[1], (Outcome::Accepted, "Accepted"));
}

/// Filters refuse a list as a whole if they cannot read one of its servers, or if it is too long.
#[test]
fn no_resource_makes_a_list_that_filters_refuse() {
    let mut all: Vec<_> = [
        "https://mcp.example.com/a",
        "https://b!.example.com/x",
        "https://a..b/x",
        "https://x*.example.com/y",
    ]
    .iter()
    .zip(1..)
    .map(|(url, created)| forwarding(&format!("muster/odd-{created}"), created, url))
    .collect();
    for number in 10..1_200 {
        let path = "x".repeat(2_000);
        let mut long = forwarding(
            &format!("muster/long-{number}"),
            number,
            &format!("https://mcp.example.com/{number}/{path}"),
        );
        long.spec["auth"]["requiredAudiences"] = json!(["a".repeat(200)]);
        all.push(long);
    }
    let judged = judge(&config(), &list(all), &LastGood::new());
    let mut whole = config();
    whole.servers.extend(judged.servers.clone());
    let bytes = server_list_json(&whole).len();
    assert!(
        bytes <= MAX_SERVERS_BYTES && bytes > MAX_SERVERS_BYTES / 2,
        "{bytes} bytes"
    );
    assert!(whole.servers.len() <= MAX_SERVERS);
    let outcomes = outcomes(&judged);
    assert_eq!(outcomes[0], (Outcome::Accepted, "Accepted"));
    for odd in &outcomes[1..4] {
        assert_eq!(*odd, (Outcome::Rejected, "InvalidURL"));
    }
    assert_eq!(outcomes.last(), Some(&(Outcome::Rejected, "TooManyServers")));
    let mut many = forwarding("muster/many", 1, "https://mcp.example.com/many");
    many.spec["auth"]["requiredAudiences"] = json!(vec!["a"; 33]);
    assert_eq!(only(many).1, "Invalid");
}

/// [`judge`] leaves out what does not fit, whatever the fields are: a list of judged resources is always published.
#[test]
fn a_list_of_resources_is_never_too_long_to_be_published() {
    let mut config = config();
    let long = "p".repeat(1_500);
    config.issuers[0].issuer = format!("https://dex.example.com/{long}");
    config.issuers[0].client_id = "c".repeat(500);
    let mut all = Vec::new();
    for number in 0..1_200 {
        let issuer = format!("https://dex.remote.example.com/{number}/{long}");
        let more = json!({"expectedIssuer": issuer});
        let endpoint = format!("https://dex.remote.example.com/{number}/token");
        all.push(exchanging(&format!("muster/e-{number}"), number, &endpoint, more));
        let mut short = forwarding(
            &format!("muster/f-{number}"),
            number,
            &format!("https://mcp.example.com/f{number}/\"\\%22\u{e9}"),
        );
        short.spec["auth"]["requiredAudiences"] = json!(["kube"]);
        all.push(short);
    }
    let judged = judge(&config, &list(all), &LastGood::new());
    let left_out = outcomes(&judged)
        .iter()
        .filter(|outcome| **outcome == (Outcome::Rejected, "TooManyServers"))
        .count();
    assert!(left_out > 0 && judged.servers.len() > 100, "{left_out} left out");
    let exchanges = judged.servers.iter().filter(|server| server.token.is_exchange());
    assert!(exchanges.count() > 50);
    config.servers.extend(judged.servers);
    PublishedList::new(&config).expect("it fits");
}

#[test]
fn tokens_of_our_own_authorization_server_are_no_servers_business() {
    let mut config = config();
    config.authorization = Some(crate::config::authorization::any());
    let own = exchanging(
        "muster/own",
        1,
        REMOTE,
        json!({"expectedIssuer": "https://MCP.example.com/"}),
    );
    let judged = judge(&config, &list(vec![own]), &LastGood::new());
    assert_eq!(outcomes(&judged), [(Outcome::Rejected, "IssuerTaken")]);
}

#[test]
fn the_paths_of_a_login_stay_open_and_a_whole_host_is_for_one_server_alone() {
    let mut config = config();
    config.authorization = Some(crate::config::authorization::any());
    let urls = [
        ("https://mcp.example.com/authorize", false),
        ("https://mcp.example.com/token/x", false),
        ("https://mcp.example.com/", false),
        (
            "https://mcp.example.com/.well-known/oauth-protected-resource/kubernetes",
            false,
        ),
        ("https://mcp.example.com/mine", true),
        ("https://alone.example.com/", true),
        ("https://shared.example.com/one", true),
        ("https://shared.example.com/", false),
        ("https://shared.example.com/exchange", false),
    ];
    let resources = urls
        .iter()
        .zip(1..)
        .map(|((url, _), created)| forwarding(&format!("muster/server-{created}"), created, url));
    let judged = judge(&config, &list(resources.collect()), &LastGood::new());
    for (verdict, (url, is_accepted)) in judged.verdicts.iter().zip(urls) {
        let expected = if is_accepted { "Accepted" } else { "URLTaken" };
        assert_eq!(verdict.reason, expected, "{url}: {}", verdict.message);
    }
}
