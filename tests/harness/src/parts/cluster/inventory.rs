//! All that a namespace holds, whatever kind it is of.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use super::KubeClient;

/// What the API server keeps by itself, for a time.
const PASSING: [&str; 2] = ["events", "events.events.k8s.io"];

/// `PLURAL.GROUP/NAME` of every resource in the namespace but events.
///
/// # Errors
/// When the API server refuses.
pub async fn names_in(client: &KubeClient, namespace: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for (root, group) in roots(client).await? {
        let listed = client.ask(Method::GET, &root, None).await?.accepted()?;
        for resource in listed["resources"].as_array().into_iter().flatten() {
            let verbs = resource["verbs"].as_array().into_iter().flatten();
            let is_listed = verbs.into_iter().any(|verb| verb == "list");
            let Some(plural) = resource["name"].as_str().filter(|_| is_listed) else {
                continue;
            };
            let kind = format!("{plural}{group}");
            if resource["namespaced"] != true || PASSING.contains(&kind.as_str()) {
                continue;
            }
            let path = format!("{root}/namespaces/{namespace}/{plural}");
            let list = client.ask(Method::GET, &path, None).await?.accepted()?;
            let items = list["items"].as_array().into_iter().flatten();
            let found = items.filter_map(|item| item["metadata"]["name"].as_str());
            names.extend(found.map(|name| format!("{kind}/{name}")));
        }
    }
    Ok(names)
}

/// The root of each API group in its preferred version, and the group with a point before it; the core has none.
async fn roots(client: &KubeClient) -> anyhow::Result<Vec<(String, String)>> {
    let listed = client.ask(Method::GET, "/apis", None).await?.accepted()?;
    let groups = listed["groups"].as_array().into_iter().flatten();
    let named = |value: &Value| value.as_str().map(str::to_owned);
    let mut roots = vec![("/api/v1".to_owned(), String::new())];
    roots.extend(groups.filter_map(|group| {
        let version = named(&group["preferredVersion"]["groupVersion"])?;
        Some((format!("/apis/{version}"), format!(".{}", named(&group["name"])?)))
    }));
    Ok(roots)
}
