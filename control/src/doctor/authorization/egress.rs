//! Whether clients' metadata documents can be fetched from here.

use tokio::task::JoinSet;
use url::Url;

use super::AuthorizationChecks;
use crate::config::MetadataDocumentHosts;
use crate::doctor::PROBE_TIMEOUT;
use crate::doctor::probe::{ProbeFailure, Prober};
use crate::doctor::report::Check;

impl AuthorizationChecks<'_> {
    /// Tries the listed hosts, all at once. An answer of any kind is one: the document itself is fetched by `serve`.
    pub(super) async fn documents(&self) -> Option<Check> {
        let name = self.named("clients' metadata documents");
        let documents = &self.authorization.clients.metadata_documents;
        let hosts = match &documents.hosts {
            MetadataDocumentHosts::Listed(hosts) => hosts,
            MetadataDocumentHosts::Pinned => {
                return Some(Check::ok(
                    name,
                    format!("{} pinned, none is fetched", documents.pinned.len()),
                ));
            }
            MetadataDocumentHosts::Any => return None,
        };
        let prober = match Prober::through(documents.egress_proxy.as_ref(), PROBE_TIMEOUT) {
            Ok(prober) => prober,
            Err(error) => return Some(Check::fail(name, error.to_string(), "check egress_proxy")),
        };
        let mut tries = JoinSet::new();
        for host in hosts {
            let (prober, host) = (prober.clone(), host.clone());
            tries.spawn(async move {
                let reached = match Url::parse(&format!("https://{host}/")) {
                    Ok(url) => prober.get(&url).await.map(drop),
                    Err(error) => Err(ProbeFailure::NotAUrl(error.to_string())),
                };
                reached.err().map(|failure| format!("{host} ({failure})"))
            });
        }
        let mut unreachable: Vec<String> = tries.join_all().await.into_iter().flatten().collect();
        unreachable.sort_unstable();
        Some(if unreachable.is_empty() {
            Check::ok(name, format!("{} hosts can be reached", hosts.len()))
        } else {
            Check::warn(
                name,
                format!("cannot be reached from here: {}", unreachable.join(", ")),
                "clients of these hosts cannot log in: allow the egress, set egress_proxy, or pin their documents \
                 (clients.metadata_documents.pinned)",
            )
        })
    }
}
