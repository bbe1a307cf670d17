//! Resources beside each other, beside the configuration, and after an edit.

use serde_json::json;
use tokenward_control::servers::resources::{LastGood, counts, judge};
use tokenward_kubernetes::Outcome;
use tokenward_kubernetes::secret::SecretRead;

use super::{config, config_with, exchanging, forwarding, judged, list, outcomes};

#[test]
fn a_bad_resource_leaves_the_others_alone() {
    let judged = judged(vec![
        forwarding("muster/a", 1, "https://mcp.example.com/a"),
        forwarding("muster/bad", 2, "not-a-url"),
        forwarding("muster/c", 3, "https://mcp.example.com/c"),
    ]);
    let names: Vec<&str> = judged.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    let counted = counts(&judged.verdicts);
    assert_eq!((counted[&Outcome::Accepted], counted[&Outcome::Rejected]), (2, 1));
}

#[test]
fn of_two_with_one_name_the_older_is_the_server_and_the_other_says_so() {
    let judged = judged(vec![
        forwarding("other/same", 1, "https://mcp.example.com/old"),
        forwarding("muster/same", 2, "https://mcp.example.com/new"),
    ]);
    assert_eq!(
        outcomes(&judged),
        [(Outcome::Accepted, "Accepted"), (Outcome::Rejected, "NameTaken")]
    );
    assert_eq!(judged.servers[0].route.path_prefix.as_deref(), Some("/old"));
    assert!(
        judged.verdicts[1]
            .message
            .contains("MCPServer other/same is older"),
        "{}",
        judged.verdicts[1].message
    );
}

#[test]
fn a_server_of_the_configuration_wins() {
    let judged = judged(vec![forwarding(
        "muster/kubernetes",
        1,
        "https://mcp.example.com/k",
    )]);
    assert_eq!(outcomes(&judged), [(Outcome::Ignored, "InConfiguration")]);
    assert!(judged.servers.is_empty());
}

#[test]
fn a_bad_edit_keeps_the_server_as_it_was_and_a_deleted_resource_is_gone() {
    let good = forwarding("muster/a", 1, "https://mcp.example.com/a");
    let first = judge(&config(), &list(vec![good.clone()]), &LastGood::new());
    let mut edited = good;
    edited.spec["url"] = json!("oops");
    let second = judge(&config(), &list(vec![edited.clone()]), &first.last_good);
    assert_eq!(outcomes(&second), [(Outcome::Held, "InvalidURL")]);
    assert_eq!(second.servers[0].route.path_prefix.as_deref(), Some("/a"));
    assert!(
        second.verdicts[0]
            .message
            .ends_with("The server stays as it was before")
    );
    // Of the same name, and another resource.
    edited.uid = "uid-new".to_owned();
    let third = judge(&config(), &list(vec![edited]), &second.last_good);
    assert_eq!(outcomes(&third), [(Outcome::Rejected, "InvalidURL")]);
    assert!(
        judge(&config(), &list(Vec::new()), &second.last_good)
            .servers
            .is_empty()
    );
}

#[test]
fn a_resource_that_needs_no_token_any_more_is_not_held() {
    let good = forwarding("muster/a", 1, "https://mcp.example.com/a");
    let first = judge(&config(), &list(vec![good.clone()]), &LastGood::new());
    let mut opened = good;
    opened.spec["auth"] = json!({"type": "none"});
    let second = judge(&config(), &list(vec![opened]), &first.last_good);
    assert_eq!(outcomes(&second), [(Outcome::Ignored, "NeedsNoToken")]);
}

#[test]
fn a_secret_that_is_deleted_holds_and_one_that_comes_or_rotates_applies() {
    let resource = exchanging("muster/far", 1, "https://dex.remote.example.com/token", json!({}));
    let mut missing = list(vec![resource.clone()]);
    for read in missing.secrets.values_mut() {
        *read = SecretRead::Absent;
    }
    let before = judge(&config(), &missing, &LastGood::new());
    assert_eq!(outcomes(&before), [(Outcome::Rejected, "SecretMissing")]);
    let there = list(vec![resource]);
    let after = judge(&config(), &there, &before.last_good);
    assert_eq!(outcomes(&after), [(Outcome::Accepted, "Accepted")]);
    let held = judge(&config(), &missing, &after.last_good);
    assert_eq!(outcomes(&held), [(Outcome::Held, "SecretMissing")]);
    assert!(held.servers[0].is_same(&after.servers[0]));
    let mut rotated = there;
    for read in rotated.secrets.values_mut() {
        let values = [("client-id", "kube"), ("client-secret", "another")];
        *read = SecretRead::Present(values.map(|(key, value)| (key.to_owned(), value.into())).into());
    }
    let next = judge(&config(), &rotated, &held.last_good);
    assert!(!next.servers[0].is_same(&after.servers[0]));
}

#[test]
fn servers_at_other_hosts_are_none_of_this_gateways() {
    let config = config_with("{resources: [{namespaces: [muster]}], hosts: [mcp.example.com]}");
    let resources = vec![
        forwarding("muster/here", 1, "https://mcp.example.com/here"),
        forwarding("muster/there", 2, "https://elsewhere.example.com/mcp"),
    ];
    let judged = judge(&config, &list(resources), &LastGood::new());
    assert_eq!(
        outcomes(&judged),
        [(Outcome::Accepted, "Accepted"), (Outcome::Ignored, "HostNotHere")]
    );
}
