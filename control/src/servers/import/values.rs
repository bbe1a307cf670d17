//! The imported servers in the shape of the chart's values: the exchanges' clients are references to Secrets, as in the
//! resources, so that nothing needs to be filled in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::yaml::{exchange_fields, head, quoted};
use super::{ImportedServer, Note};

/// The `servers` of the chart's values.
#[derive(Debug, Default)]
pub struct ValuesBlock {
    /// The block.
    pub yaml: String,
    /// What is omitted, and what else must be done.
    pub notes: Vec<Note>,
}

/// The block of `servers`; its notes begin with `omitted`.
pub(super) fn of(servers: &[ImportedServer], omitted: Vec<Note>) -> ValuesBlock {
    let mut block = ValuesBlock {
        yaml: "servers:\n".to_owned(),
        notes: omitted,
    };
    let mut secrets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for server in servers {
        block.yaml.push_str(&head(server));
        let Some(exchange) = &server.exchange else {
            continue;
        };
        block.yaml.push_str(&exchange_fields(exchange));
        let Some(reference) = &exchange.credentials else {
            block
                .yaml
                .push_str("      clientCredentialsSecretRef: {name: \"\"}  # to be filled in\n");
            block.notes.push(Note {
                line: 0,
                text: format!(
                    "server {:?}: its resource names no Secret with the client of the exchange: fill in \
                     clientCredentialsSecretRef",
                    server.name
                ),
            });
            continue;
        };
        // Writing into a String cannot fail.
        let _ = writeln!(
            block.yaml,
            "      clientCredentialsSecretRef: {{name: {}, clientIdKey: {}, clientSecretKey: {}}}",
            quoted(&reference.name),
            quoted(&reference.client_id_key),
            quoted(&reference.client_secret_key),
        );
        let namespace = reference.namespace.as_ref().or(server.namespace.as_ref());
        if let Some(namespace) = namespace {
            let secret = format!("{namespace}/{}", reference.name);
            secrets.entry(secret).or_default().push(&server.name);
        }
    }
    block
        .notes
        .extend(secrets.into_iter().map(|(secret, servers)| Note {
            line: 0,
            text: format!(
                "the release's namespace needs a copy of the Secret {secret}, for {}",
                servers.join(", ")
            ),
        }));
    block
}
