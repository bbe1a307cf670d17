//! Checks of the API server: whether each list of resources can be read.

use tokenward_kubernetes::api::client::{ConnectError, KubeApi};
use tokenward_kubernetes::api::{Api as _, ApiError, Watched};
use tokenward_kubernetes::kind::Source;

use super::report::Check;
use crate::config::KubernetesConfig;

pub(super) async fn resources(section: &KubernetesConfig) -> Vec<Check> {
    let api = match KubeApi::connect(section.kubeconfig.as_ref(), "tokenward-doctor".to_owned()).await {
        Ok(api) => api,
        Err(error @ ConnectError::NotInCluster(_)) => {
            return vec![Check::skipped(
                "kubernetes",
                error.to_string(),
                "run doctor in control's pod",
            )];
        }
        Err(error) => {
            return vec![Check::fail(
                "kubernetes",
                error.to_string(),
                "correct kubernetes.kubeconfig",
            )];
        }
    };
    let mut checks = Vec::new();
    for source in section.resources.iter().flat_map(|one| one.selection.sources()) {
        checks.push(list(&api, source).await);
    }
    if section.exchange_hosts.is_empty() {
        const HINT: &str = "nothing, unless resources with tokenExchange are to be servers: then name the hosts of their issuers";
        let finding = "exchange_hosts is empty: resources cannot exchange";
        checks.push(Check::skipped("kubernetes: exchanges", finding, HINT));
    }
    checks
}

async fn list(api: &KubeApi, source: Source) -> Check {
    let kind = source.kind;
    let place = source.namespace.as_deref().unwrap_or("all namespaces").to_owned();
    let name = format!("kubernetes: {} of {} in {place}", kind.name, kind.group);
    let listed = async {
        let served = api.versions(kind.group).await?;
        let version = kind.version(&served).ok_or(ApiError::NotFound)?;
        let page = api.list(&Watched::Resources(source, version), None).await?;
        Ok::<_, ApiError>((version, page.objects.len(), page.next.is_some()))
    };
    match listed.await {
        Ok((version, count, has_more)) => {
            let more = if has_more { " or more" } else { "" };
            Check::ok(name, format!("{count}{more}, by {version}"))
        }
        Err(ApiError::NotFound) => Check::warn(
            name,
            "the kind is not installed, or in no version that is known here",
            "install it: it is noticed; or remove it from kubernetes.resources",
        ),
        Err(error @ ApiError::Denied(_)) => Check::fail(
            name,
            error.to_string(),
            "give control's service account the Role of the chart (kubernetes.rbac.create, docs/kubernetes.md)",
        ),
        Err(error) => Check::fail(
            name,
            error.to_string(),
            "allow control to reach the API server: networkPolicy and kubernetes.apiServerPorts in the chart",
        ),
    }
}
