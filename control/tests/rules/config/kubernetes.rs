//! `kubernetes`: what is watched, and what resources may name.

use std::time::Duration;

use tokenward_control::config::{Config, ConfigError, HostPattern};

use super::{Folder, GOOD};

fn parsed(section: &str) -> Result<Config, String> {
    let folder = Folder::new();
    let text =
        format!("{GOOD}\nkubernetes: {section}\n").replace("DIR", &folder.path().display().to_string());
    Config::parse(&text).map_err(|error| match error {
        ConfigError::Invalid(problems) => problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
        other => other.to_string(),
    })
}

#[test]
fn one_namespace_is_enough_and_means_the_aggregators_resources() {
    let config = parsed("{resources: [{namespaces: [muster]}]}").expect("valid");
    let section = config.kubernetes.expect("a section");
    let selection = &section.resources[0].selection;
    assert_eq!(
        (selection.kind.group, selection.kind.plural),
        ("muster.giantswarm.io", "mcpservers")
    );
    assert_eq!(selection.namespaces, ["muster"]);
    assert_eq!(section.start_wait, Duration::from_secs(10));
    assert!(section.hosts.is_empty() && section.exchange_hosts.is_empty() && section.lease.is_none());
}

#[test]
fn with_resources_the_list_of_servers_may_be_empty() {
    let folder = Folder::new();
    let start = GOOD.find("servers:").expect("a list");
    let text = format!(
        "{}servers: []\nkubernetes: {{resources: [{{namespaces: [\"*\"]}}]}}\n",
        &GOOD[..start]
    );
    let text = text.replace("DIR", &folder.path().display().to_string());
    let config = Config::parse(&text).expect("valid");
    assert!(
        config.kubernetes.expect("a section").resources[0]
            .selection
            .namespaces
            .is_empty()
    );
}

#[test]
fn every_mistake_is_named_with_its_cure() {
    for (section, what) in [
        ("{resources: []}", "kubernetes.resources is empty"),
        ("{resources: [{}]}", "must be names, or \"*\" alone"),
        (
            "{resources: [{namespaces: [\"*\", a]}]}",
            "must be names, or \"*\" alone",
        ),
        (
            "{resources: [{namespaces: [Team_A]}]}",
            "namespace \"Team_A\" is not usable",
        ),
        (
            "{resources: [{namespaces: [a]}, {namespaces: [b, a]}]}",
            "is named twice",
        ),
        (
            "{resources: [{namespaces: [a]}, {namespaces: [\"*\"]}]}",
            "is named twice",
        ),
        (
            "{resources: [{kind: Pod, namespaces: [a]}]}",
            "Pod of muster.giantswarm.io is no kind that is known here",
        ),
        (
            "{resources: [{namespaces: [a], label_selector: \"\"}]}",
            "label_selector is empty",
        ),
        ("{resources: [{namespaces: [a], forward: {}}]}", "remove forward"),
        (
            "{resources: [{group: kagent.dev, kind: RemoteMCPServer, namespaces: [a]}]}",
            "add forward",
        ),
        (
            "{resources: [{group: kagent.dev, kind: RemoteMCPServer, namespaces: [a], forward: {required_audiences: [\"a b\"]}}]}",
            "\"a b\" is not usable",
        ),
        (
            "{resources: [{namespaces: [a]}], hosts: [\"https://a.example.com\"]}",
            "in kubernetes.hosts is not usable",
        ),
        (
            "{resources: [{namespaces: [a]}], exchange_hosts: [\"*\"]}",
            "in kubernetes.exchange_hosts is not usable",
        ),
        (
            "{resources: [{namespaces: [a]}], lease: {namespace: A, name: x}}",
            "is no name of Kubernetes",
        ),
        (
            "{resources: [{namespaces: [a]}], start_wait: 1h}",
            "kubernetes.start_wait must be shorter",
        ),
        ("{resources: [{namespaces: [a]}], hostnames: []}", "hostnames"),
    ] {
        let problems = parsed(section).expect_err(section);
        assert!(problems.contains(what), "{section}: {problems}");
        assert!(problems.starts_with("line "), "{section}: {problems}");
    }
}

#[test]
fn a_pattern_includes_whole_labels_below_a_host() {
    let below = HostPattern::read("*.Example.com").expect("a pattern");
    assert!(below.includes("dex.example.com") && below.includes("a.b.example.com"));
    assert!(
        !below.includes("example.com")
            && !below.includes("badexample.com")
            && !below.includes("example.com.evil.org")
    );
    let exact = HostPattern::read("dex.example.com").expect("a pattern");
    assert!(
        exact.includes("dex.example.com")
            && exact.includes("dex.example.com.")
            && !exact.includes("x.dex.example.com")
    );
    for bad in ["", "*", "*.", "a..b", "https://a", "a:1", "a/b", "a.*"] {
        assert_eq!(HostPattern::read(bad), None, "{bad}");
    }
}
