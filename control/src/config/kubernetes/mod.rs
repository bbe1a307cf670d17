//! `kubernetes`: the resources of the cluster that are servers too, and what they may name.

mod host;
pub(in crate::config) mod raw;

use std::path::PathBuf;
use std::time::Duration;

use tokenward_kubernetes::leader::LeaseName;
use tokenward_kubernetes::{Kind, Selection};

pub use self::host::HostPattern;

use self::raw::{RawKubernetes, RawLease, RawSelection};
use super::durations;
use super::findings::{Findings, shown};
use super::raw_values::Text;
use crate::upstream::dialect::{AUDIENCE_HINT, is_string_or_uri};
use crate::yaml::Spanned;

/// The group and kind of a selection that names none: the aggregator's.
const DEFAULT_GROUP: &str = "muster.giantswarm.io";
const DEFAULT_KIND: &str = "MCPServer";
/// Stands for all namespaces.
const ALL: &str = "*";
/// Lists that are watched, at most: each is a connection to the API server.
const MOST_LISTS: usize = 64;

/// The resources that are watched, and what they may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// Which resources.
    pub resources: Vec<ResourceSelection>,
    /// The hosts at which resources may have servers; empty: any.
    pub hosts: Vec<HostPattern>,
    /// The hosts of token endpoints to which resources may have users' tokens sent; empty: none.
    pub exchange_hosts: Vec<HostPattern>,
    /// A kubeconfig; `None`: the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The Lease whose holder writes to resources; `None`: nothing is written.
    pub lease: Option<LeaseName>,
    /// How long a start waits for the API server before it uses the list that was stored last.
    pub start_wait: Duration,
}

/// The resources of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSelection {
    /// Which are watched.
    pub selection: Selection,
    /// The audiences that the forwarded ID token must have, for a kind that does not say how its servers are protected.
    pub forward: Option<Vec<String>>,
}

impl KubernetesConfig {
    /// Whether `other` has the same watches: what else differs applies without a restart.
    #[must_use]
    pub fn has_the_watches_of(&self, other: &Self) -> bool {
        let selections = |config: &Self| -> Vec<Selection> {
            config.resources.iter().map(|one| one.selection.clone()).collect()
        };
        selections(self) == selections(other)
            && (&self.kubeconfig, &self.lease) == (&other.kubeconfig, &other.lease)
    }

    /// The audiences of servers of `kind` in `namespace`, where this configuration states them.
    #[must_use]
    pub fn forward_of(&self, kind: &Kind, namespace: &str) -> Option<&[String]> {
        let is_selected = |one: &&ResourceSelection| {
            let namespaces = &one.selection.namespaces;
            one.selection.kind == kind
                && (namespaces.is_empty() || namespaces.iter().any(|name| name == namespace))
        };
        self.resources.iter().find(is_selected)?.forward.as_deref()
    }
}

pub(super) fn kubernetes(findings: &mut Findings, raw: &Spanned<RawKubernetes>) -> KubernetesConfig {
    let section = &raw.value;
    if section.resources.value.is_empty() {
        findings.add(
            section.resources.referenced,
            "kubernetes.resources is empty",
            "name what is watched, as in {namespaces: [muster]}, or leave kubernetes out",
        );
    }
    let mut resources: Vec<ResourceSelection> = Vec::new();
    for raw in &section.resources.value {
        let Some(found) = selection(findings, raw) else {
            continue;
        };
        let twice = resources
            .iter()
            .any(|other| overlap(&other.selection, &found.selection));
        if twice {
            findings.add(
                raw.referenced,
                format!("a namespace of kind {} is named twice", found.selection.kind.name),
                "list each namespace of a kind once",
            );
        }
        resources.push(found);
    }
    let lists: usize = resources
        .iter()
        .map(|one| one.selection.namespaces.len().max(1))
        .sum();
    if lists > MOST_LISTS {
        findings.add(
            section.resources.referenced,
            format!("kubernetes.resources names {lists} lists"),
            format!("watch at most {MOST_LISTS}, or all namespaces (\"*\") by a label_selector"),
        );
    }
    KubernetesConfig {
        resources,
        hosts: hosts(findings, "hosts", &section.hosts),
        exchange_hosts: hosts(findings, "exchange_hosts", &section.exchange_hosts),
        kubeconfig: section.kubeconfig.as_ref().map(|path| PathBuf::from(&path.value)),
        lease: section.lease.as_ref().map(|raw| lease(findings, raw)),
        start_wait: findings.bounded_duration(
            "kubernetes.start_wait",
            section.start_wait.as_ref(),
            durations::KUBERNETES_START_WAIT,
        ),
    }
}

fn overlap(one: &Selection, other: &Selection) -> bool {
    one.kind == other.kind
        && (one.namespaces.is_empty()
            || other.namespaces.is_empty()
            || one.namespaces.iter().any(|name| other.namespaces.contains(name)))
}

fn selection(findings: &mut Findings, raw: &Spanned<RawSelection>) -> Option<ResourceSelection> {
    let written = |text: &Option<Text>, default: &str| {
        text.as_ref()
            .map_or(default.to_owned(), |text| text.value.clone())
    };
    let section = &raw.value;
    let (group, name) = (
        written(&section.group, DEFAULT_GROUP),
        written(&section.kind, DEFAULT_KIND),
    );
    let Some(kind) = Kind::find(&group, &name) else {
        findings.add(
            raw.referenced,
            format!(
                "{} of {} is no kind that is known here",
                shown(&name),
                shown(&group)
            ),
            format!("use one of {}", known_kinds()),
        );
        return None;
    };
    let all = section.namespaces.iter().any(|name| name.value == ALL);
    if section.namespaces.is_empty() || (all && section.namespaces.len() > 1) {
        findings.add(
            raw.referenced,
            "namespaces of kubernetes.resources must be names, or \"*\" alone",
            "write namespaces: [muster], or namespaces: [\"*\"] for all",
        );
    }
    for namespace in section.namespaces.iter().filter(|name| name.value != ALL) {
        if !is_label(&namespace.value) {
            findings.add(
                namespace.referenced,
                format!("namespace {:?} is not usable", shown(&namespace.value)),
                "write the name of a namespace: lower case letters, digits and '-'",
            );
        }
    }
    if let Some(selector) = section
        .label_selector
        .as_ref()
        .filter(|text| text.value.trim().is_empty())
    {
        findings.add(
            selector.referenced,
            "label_selector is empty",
            "leave it out to watch every resource",
        );
    }
    let names = section.namespaces.iter().filter(|_| !all);
    Some(ResourceSelection {
        selection: Selection {
            kind,
            namespaces: names.map(|name| name.value.clone()).collect(),
            label_selector: section.label_selector.as_ref().map(|text| text.value.clone()),
        },
        forward: forward(findings, raw, kind),
    })
}

/// What the configuration states for kinds that have nothing about tokens: the operator decides, not the resource.
fn forward(findings: &mut Findings, raw: &Spanned<RawSelection>, kind: &Kind) -> Option<Vec<String>> {
    let needs_it = kind.group == "kagent.dev";
    let Some(forward) = &raw.value.forward else {
        if needs_it {
            findings.add(
                raw.referenced,
                format!("{} says nothing about tokens", kind.name),
                "add forward: {required_audiences: […]}, which applies to every resource that is selected",
            );
        }
        return None;
    };
    if !needs_it {
        findings.add(
            forward.referenced,
            format!("{} says itself how its servers are protected", kind.name),
            "remove forward",
        );
    }
    for audience in &forward.value.required_audiences {
        if !is_string_or_uri(&audience.value) {
            findings.add(
                audience.referenced,
                format!("required audience {:?} is not usable", shown(&audience.value)),
                AUDIENCE_HINT,
            );
        }
    }
    let audiences = &forward.value.required_audiences;
    Some(audiences.iter().map(|audience| audience.value.clone()).collect())
}

fn lease(findings: &mut Findings, raw: &RawLease) -> LeaseName {
    for name in [&raw.namespace, &raw.name] {
        if !is_label(&name.value) {
            findings.add(
                name.referenced,
                format!("{:?} is no name of Kubernetes", shown(&name.value)),
                "use lower case letters, digits and '-'",
            );
        }
    }
    LeaseName {
        namespace: raw.namespace.value.clone(),
        name: raw.name.value.clone(),
    }
}

fn hosts(findings: &mut Findings, field: &str, raw: &[Text]) -> Vec<HostPattern> {
    let read = |text: &Text| {
        let pattern = HostPattern::read(&text.value);
        if pattern.is_none() {
            findings.add(
                text.referenced,
                format!("{:?} in kubernetes.{field} is not usable", shown(&text.value)),
                "write a host name without scheme, port and path, or \"*.example.com\"",
            );
        }
        pattern
    };
    raw.iter().filter_map(read).collect()
}

/// RFC 1123: at most 63 lower case letters, digits and `-`.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn known_kinds() -> String {
    let kinds = tokenward_kubernetes::kind::KINDS.iter();
    let names: Vec<String> = kinds
        .map(|kind| format!("{} of {}", kind.name, kind.group))
        .collect();
    names.join(", ")
}
