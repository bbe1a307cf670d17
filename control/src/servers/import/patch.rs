//! The two fields of an MCPServer resource that lead its exchanges through control: `dexTokenEndpoint`, and
//! `expectedIssuer`, which no longer follows from it.

use std::fmt::Write as _;

use url::Url;

use super::yaml::quoted;
use super::{ImportedExchange, ImportedServer, Note};
use crate::servers::exchange_path::exchange_path;
use crate::upstream::dialect::Dialect;

/// The resource's version where the file does not state it.
const API_VERSION: &str = "muster.giantswarm.io/v1alpha1";
/// How to apply the patches.
const HEAD: &str = "# kubectl apply --server-side --force-conflicts --field-manager=tokenward -f THIS_FILE\n\
                    # Where the resources come from a repository, change the same fields there.\n";

/// The patches, and notes about servers without one.
#[derive(Debug, Default)]
pub struct ExchangePatches {
    /// One YAML document for each server; empty if there is none.
    pub yaml: String,
    /// What is left out, and why.
    pub notes: Vec<Note>,
}

/// The patches of `servers` for control at `base`.
pub(super) fn of(servers: &[ImportedServer], base: &Url) -> ExchangePatches {
    let mut patches = ExchangePatches::default();
    let base = base.as_str().trim_end_matches('/');
    for server in servers {
        let Some(exchange) = &server.exchange else {
            continue;
        };
        let mut omit = |why: &str| {
            let name = &server.name;
            patches.notes.push(Note {
                line: 0,
                text: format!("server {name:?}: {why}; it is left out"),
            });
        };
        if exchange.token_endpoint.starts_with(&format!("{base}/exchange/")) {
            omit("its dexTokenEndpoint is control's already");
            continue;
        }
        let Some(issuer) = remote_issuer(exchange) else {
            omit(
                "its issuer does not follow from a dexTokenEndpoint that does not end in /token: set expectedIssuer",
            );
            continue;
        };
        if patches.yaml.is_empty() {
            patches.yaml.push_str(HEAD);
        }
        let namespace = (server.namespace.as_ref()).map_or_else(String::new, |namespace| {
            format!(", namespace: {}", quoted(namespace))
        });
        // Writing into a String cannot fail.
        let _ = write!(
            patches.yaml,
            "---\napiVersion: {}\nkind: MCPServer\nmetadata: {{name: {}{namespace}}}\nspec:\n  auth:\n    \
             tokenExchange:\n      dexTokenEndpoint: {}\n      expectedIssuer: {}\n",
            quoted(server.api_version.as_deref().unwrap_or(API_VERSION)),
            quoted(&server.name),
            quoted(&format!("{base}{}", exchange_path(&server.name))),
            quoted(&issuer),
        );
    }
    patches
}

/// The issuer whose tokens the aggregator expects so far.
fn remote_issuer(exchange: &ImportedExchange) -> Option<String> {
    exchange.expected_issuer.clone().or_else(|| {
        let endpoint = Url::parse(&exchange.token_endpoint).ok()?;
        Some(Dialect::default().remote_addresses(&endpoint)?.issuer)
    })
}
