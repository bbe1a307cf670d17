//! `tokenward import`: converts the aggregator's MCPServer resources to the `servers` of control's configuration.
//!
//! The `auth` block is the same in both, except for the client credentials, which the resource takes from a Kubernetes
//! Secret that is not in the file. A note with its line names everything that is omitted or must be filled in.

mod patch;
mod reader;
mod server;
mod shape;
mod values;
mod yaml;

use std::fmt;

use url::Url;

use crate::yaml::{Node, Placed, documents};

pub use self::patch::ExchangePatches;
pub use self::server::{ImportedExchange, ImportedServer, SecretReference};
pub use self::values::ValuesBlock;

/// A remark about the file: something is omitted, or must be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Line in the file, from 1; 0 if unknown.
    pub line: u64,
    /// What it is, and what to do.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => formatter.write_str(&self.text),
            line => write!(formatter, "line {line}: {}", self.text),
        }
    }
}

/// The content of a file.
#[derive(Debug, Default)]
pub struct Import {
    /// The servers that can be protected, in the order of the file.
    pub servers: Vec<ImportedServer>,
    /// What is omitted, and what must be filled in in control's configuration.
    pub notes: Vec<Note>,
    /// What is omitted.
    omitted: Vec<Note>,
}

/// The file is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct InvalidYaml {
    /// Line in the file, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl Import {
    /// Reads what `kubectl get mcpservers -o yaml` (or `-o json`) prints: a `List`, one resource, or several documents.
    ///
    /// # Errors
    /// [`InvalidYaml`]. Every other fault is a note.
    pub fn read(text: &str) -> Result<Self, InvalidYaml> {
        let documents = documents(text).map_err(|error| InvalidYaml {
            line: error.place.line(),
            what: error.what,
        })?;
        let mut import = Self::default();
        let mut fill_in = Vec::new();
        for document in &documents {
            import.add(document, &mut fill_in);
        }
        if import.servers.is_empty() && import.notes.is_empty() {
            import.notes.push(Note {
                line: 0,
                text: "there is no MCPServer in the file".to_owned(),
            });
        }
        import.notes.sort_by_key(|note| note.line);
        import.omitted.clone_from(&import.notes);
        import.notes.extend(fill_in);
        import.notes.sort_by_key(|note| note.line);
        Ok(import)
    }

    fn add(&mut self, document: &Placed, fill_in: &mut Vec<Note>) {
        let Node::Map(_) = &document.node else {
            return match &document.node {
                Node::Null => {}
                Node::List(items) => items.iter().for_each(|item| self.add(item, fill_in)),
                other => self.note(
                    document,
                    format!(
                        "a document without a kind ({}) is not an MCPServer; it is left out",
                        other.kind()
                    ),
                ),
            };
        };
        match reader::text(document, "kind") {
            Some("List" | "MCPServerList") => self.add_list(document, fill_in),
            Some("MCPServer") => self.add_server(document, fill_in),
            Some(kind) => self.note(document, format!("{kind} is not an MCPServer; it is left out")),
            None => self.note(
                document,
                "a document without a kind is not an MCPServer; it is left out".to_owned(),
            ),
        }
    }

    fn add_list(&mut self, list: &Placed, fill_in: &mut Vec<Note>) {
        match reader::member(list, "items").map(|items| (items, &items.node)) {
            Some((_, Node::List(items))) => items.iter().for_each(|item| self.add(item, fill_in)),
            Some((items, other)) => self.note(
                items,
                format!(
                    "items must be a list, and is {}; none of it is imported",
                    other.kind()
                ),
            ),
            None => {}
        }
    }

    fn add_server(&mut self, place: &Placed, fill_in: &mut Vec<Note>) {
        let Some(server) = server::read(&mut self.notes, fill_in, place) else {
            return;
        };
        if self.servers.iter().any(|other| other.name == server.name) {
            self.note(
                place,
                format!(
                    "server {:?} occurs twice (in two namespaces?); the second is left out: rename one of them",
                    server.name
                ),
            );
            return;
        }
        self.servers.push(server);
    }

    fn note(&mut self, place: &Placed, text: String) {
        self.notes.push(Note {
            line: place.place.line(),
            text,
        });
    }

    /// The `servers` block for control's configuration.
    #[must_use]
    pub fn servers_block(&self) -> String {
        yaml::servers(&self.servers)
    }

    /// The `servers` block for the chart's values, in which clients and their secrets stay in the resources' Secrets.
    #[must_use]
    pub fn values_block(&self) -> ValuesBlock {
        values::of(&self.servers, self.omitted.clone())
    }

    /// The annotation that the HTTPRoute of each server needs, so that the filter knows the server.
    #[must_use]
    pub fn annotations(&self) -> String {
        yaml::annotations(&self.servers)
    }

    /// For each `exchange` server, the fields of its MCPServer resource that lead the aggregator's exchanges through control,
    /// whose address for the aggregator is `base`.
    #[must_use]
    pub fn exchange_patches(&self, base: &Url) -> ExchangePatches {
        patch::of(&self.servers, base)
    }
}
