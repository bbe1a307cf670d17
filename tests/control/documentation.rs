//! What the documents say is true.

use std::collections::BTreeSet;

use tokenward_control::config::Config;
use tokenward_control::metrics::Metrics;
use tokenward_protocol::refusal::{Refusal, RefusalClass};
use tokenward_tests::parts::{TempFolder, tools};

fn document(path: &str) -> String {
    let path = tools::workspace().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_readmes_control_configuration_is_accepted() -> anyhow::Result<()> {
    let secrets = TempFolder::new("documentation")?;
    for name in ["filter", "aggregator", "valkey", "dex", "remote"] {
        secrets.write(name, format!("a-secret-of-the-{name}"))?;
    }
    secrets.write("sealing-k1", "kC3b0tZ3mW5s1hQ0aYVbq7cYpYw8v2y3m0mJ0f4d2lE=")?;
    let [yaml] = &blocks(&document("README.md"), "yaml")[..] else {
        panic!("one configuration in the README")
    };
    let yaml = yaml.replace("/run/secrets/tokenward", &secrets.path().display().to_string());
    let config = Config::parse(&yaml)?;
    assert_eq!(config.servers.len(), 2);
    Ok(())
}

#[test]
fn the_metrics_page_lists_every_refusal_under_what_follows_from_it() {
    let page = document("docs/METRICS.md");
    let paragraph = |start: &str, end: &str| {
        let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("no {start:?}"));
        rest.split_once(end)
            .map_or(rest, |(paragraph, _)| paragraph)
            .to_owned()
    };
    let login = paragraph("Refusals answered with 401:", "With 503, waiting helps:");
    let transient = paragraph("With 503, waiting helps:", "With 503, an operator must act:");
    let misconfigured = paragraph("With 503, an operator must act:", "\n\n");
    for refusal in Refusal::ALL {
        let there =
            [&login, &transient, &misconfigured].map(|text| text.contains(&format!("`{}`", refusal.name())));
        let expected = [
            RefusalClass::LoginNeeded,
            RefusalClass::Transient,
            RefusalClass::Misconfigured,
        ]
        .map(|class| class == refusal.class());
        assert_eq!(there, expected, "{}", refusal.name());
    }
}

#[test]
fn the_readmes_refused_answer_is_the_real_one() {
    let [answer] = &blocks(&document("README.md"), "http")[..] else {
        panic!("one answer in the README")
    };
    let refusal = Refusal::NeedsLogin;
    assert!(
        answer.contains(refusal.description()) && answer.contains(refusal.name()),
        "{answer}"
    );
    assert!(answer.starts_with("HTTP/1.1 401 "));
}

#[test]
fn the_metrics_page_lists_every_metric_of_control_and_no_other() {
    let metrics = Metrics::default();
    metrics.token_request("kubernetes", "token");
    metrics.refresh("https://dex.example.com", "refreshed");
    metrics.exchange("kubernetes", "exchanged");
    metrics.issuer_request("https://dex.example.com", "keys", std::time::Duration::ZERO);
    metrics.store_error("read");
    metrics.session_change("created", 1);
    metrics.connection_closed("late");
    metrics.config_reload("applied");
    metrics.issuer_circuit("https://dex.example.com", false);
    metrics.issuer_held_back("https://dex.example.com", "circuit");
    // A family's name is in its HELP line without the ending that its samples have.
    let exposed: BTreeSet<String> = metrics
        .exposition()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|family| match family.split_once(' ') {
            Some((name, "counter")) => format!("{name}_total"),
            Some((name, _)) => name.to_owned(),
            None => panic!("{family}"),
        })
        .collect();
    let page = document("docs/METRICS.md");
    let (_, control) = page.split_once("## Control").expect("a chapter on control");
    let documented: BTreeSet<String> = control
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(exposed, documented);
}
