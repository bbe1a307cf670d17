//! `kubernetes` as written.

use serde::Deserialize;

use crate::config::raw_values::Text;
use crate::yaml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawKubernetes {
    pub(super) resources: Spanned<Vec<Spanned<RawSelection>>>,
    #[serde(default)]
    pub(super) hosts: Vec<Text>,
    #[serde(default)]
    pub(super) exchange_hosts: Vec<Text>,
    pub(super) kubeconfig: Option<Text>,
    pub(super) lease: Option<RawLease>,
    pub(super) start_wait: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSelection {
    pub(super) group: Option<Text>,
    pub(super) kind: Option<Text>,
    #[serde(default)]
    pub(super) namespaces: Vec<Text>,
    pub(super) label_selector: Option<Text>,
    pub(super) forward: Option<Spanned<RawForward>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawForward {
    #[serde(default)]
    pub(super) required_audiences: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLease {
    pub(super) namespace: Text,
    pub(super) name: Text,
}
