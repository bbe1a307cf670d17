//! docs/METRICS.md and docs/LOGGING.md, compared with what the filter in a real Envoy exposes and logs.

mod pages;
mod witness;

use std::collections::BTreeSet;

use tokenward_filter_core::mcp_method::McpMethod;
use tokenward_protocol::refusal::Refusal;

use pages::{LogForm, MetricFamily};
use witness::Witness;

/// Refusals that are answered at once and never remembered, because they depend on the presented token or the request
/// alone.
const UNGATED: [Refusal; 11] = [
    Refusal::MissingBearer,
    Refusal::MalformedBearer,
    Refusal::AmbiguousBearer,
    Refusal::WrongIssuer,
    Refusal::WrongAudience,
    Refusal::FilterMisconfigured,
    Refusal::Unmatched,
    Refusal::UnreadableRequest,
    Refusal::SentLate,
    Refusal::SignedOut,
    Refusal::StateMissing,
];

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_list_every_metric_and_every_line_and_nothing_shows_a_secret() -> anyhow::Result<()> {
    let witness = Witness::of_everything().await?;
    metrics_are_as_documented(&witness)?;
    lines_are_as_documented(&witness)?;
    for secret in &witness.secrets {
        assert!(secret.len() >= 12, "too short to be looked for: {secret}");
        for line in &witness.lines {
            assert!(!line.message.contains(secret), "{}", line.message);
        }
        for sample in &witness.samples {
            let text = format!("{sample:?}");
            assert!(!text.contains(secret), "{text}");
        }
    }
    Ok(())
}

fn metrics_are_as_documented(witness: &Witness) -> anyhow::Result<()> {
    let (families, methods) = (MetricFamily::of_the_filter()?, pages::mcp_methods()?);
    let known: BTreeSet<_> = McpMethod::all().map(|method| method.name().to_owned()).collect();
    assert_eq!(methods, known);
    let mut seen = BTreeSet::new();
    for sample in witness
        .samples
        .iter()
        .filter(|sample| sample.name.starts_with("tokenward_"))
    {
        let family = families
            .iter()
            .find(|family| family.name == sample.name)
            .unwrap_or_else(|| panic!("{} is not on the page", sample.name));
        let labels: Vec<_> = sample.labels.iter().map(|(name, _)| name.as_str()).collect();
        let counts_requests = sample.name == "tokenward_requests_total";
        let expected = ["server", family.label.as_str()]
            .into_iter()
            .chain(counts_requests.then_some("mcp_method"));
        assert!(labels.iter().copied().eq(expected), "{sample:?}");
        if let Some(method) = sample.label("mcp_method") {
            assert!(
                methods.contains(method),
                "{sample:?} has a method that is not on the page"
            );
        }
        let value = sample.label(&family.label).unwrap_or_default();
        assert!(
            family.values.contains(value),
            "{sample:?} has a {} that is not on the page",
            family.label
        );
        seen.insert((sample.name.as_str(), value.to_owned()));
    }
    for family in &families {
        for value in &family.values {
            let there = seen.contains(&(family.name.as_str(), value.clone()));
            assert_eq!(there, can_occur(&family.name, value), "{} {value}", family.name);
        }
    }
    Ok(())
}

/// Whether an outcome of the page can be provoked: which refusals can be remembered or sent by control is not on it.
fn can_occur(family: &str, outcome: &str) -> bool {
    let is_ungated = |name: &str| UNGATED.iter().any(|refusal| refusal.name() == name);
    // What the filter answers without control, and always in place of a call.
    let is_own = |name: &str| {
        [Refusal::TokenRejected, Refusal::CallLimit]
            .iter()
            .any(|refusal| refusal.name() == name)
    };
    match (family, outcome.strip_prefix("gated_")) {
        ("tokenward_requests_total", Some(refusal)) => !is_ungated(refusal),
        // The request was forwarded or replaced, and counted as that; the next ones are gated.
        ("tokenward_requests_total", None) => !is_own(outcome),
        ("tokenward_control_answers_total", _) => !is_ungated(outcome) && !is_own(outcome),
        _ => true,
    }
}

fn lines_are_as_documented(witness: &Witness) -> anyhow::Result<()> {
    let forms = LogForm::of_the_filter()?;
    let mut seen = BTreeSet::new();
    for line in &witness.lines {
        let form = forms
            .iter()
            .position(|form| form.matches(&line.level, &line.message))
            .unwrap_or_else(|| panic!("not on the page: {} {}", line.level, line.message));
        seen.insert(form);
    }
    for (number, form) in forms.iter().enumerate() {
        assert!(seen.contains(&number), "on the page but never written: {form:?}");
    }
    Ok(())
}
