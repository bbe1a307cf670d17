//! `tokenward import`: from the aggregator's MCPServer resources to the `servers` of this configuration.
//!
//! The `auth` block is the same in both, but for the client credentials, which the resource takes from a Kubernetes
//! Secret that is not in the file. What is left out or must be filled in is said with its line.

mod reader;
mod server;
mod shape;
mod yaml;

use std::fmt;

use crate::yaml::{Node, Placed, documents};

pub use self::server::{ImportedExchange, ImportedServer};

/// Something about the file that its reader must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Line in the file, from 1; 0 where it is not known.
    pub line: u64,
    /// What it is, and what to do.
    pub says: String,
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.says)
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub struct Import {
    /// The servers that can be protected, in the order of the file.
    pub servers: Vec<ImportedServer>,
    /// What was left out, and what must be filled in.
    pub notes: Vec<Note>,
}

/// The file is no YAML.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct NotYaml {
    /// Where.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl Import {
    /// Reads what `kubectl get mcpservers -o yaml` (or `-o json`) prints: a `List`, one resource, or several documents.
    ///
    /// # Errors
    /// [`NotYaml`]. Everything else that is wrong is a note.
    pub fn read(text: &str) -> Result<Self, NotYaml> {
        let documents = documents(text).map_err(|error| NotYaml {
            line: error.place.line(),
            what: error.what,
        })?;
        let mut import = Self::default();
        for document in &documents {
            import.take_in(document);
        }
        if import.servers.is_empty() && import.notes.is_empty() {
            import.notes.push(Note {
                line: 0,
                says: "there is no MCPServer in the file".to_owned(),
            });
        }
        import.notes.sort_by_key(|note| note.line);
        Ok(import)
    }

    fn take_in(&mut self, document: &Placed) {
        let Node::Map(_) = &document.node else {
            return match &document.node {
                Node::Null => {}
                Node::List(items) => items.iter().for_each(|item| self.take_in(item)),
                other => self.note(
                    document,
                    format!(
                        "a document without a kind ({}) is no MCPServer; it is left out",
                        other.kind()
                    ),
                ),
            };
        };
        match reader::text(document, "kind") {
            Some("List" | "MCPServerList") => self.take_list(document),
            Some("MCPServer") => self.take_server(document),
            Some(kind) => self.note(document, format!("{kind} is no MCPServer; it is left out")),
            None => self.note(
                document,
                "a document without a kind is no MCPServer; it is left out".to_owned(),
            ),
        }
    }

    fn take_list(&mut self, list: &Placed) {
        match reader::member(list, "items").map(|items| (items, &items.node)) {
            Some((_, Node::List(items))) => items.iter().for_each(|item| self.take_in(item)),
            Some((items, other)) => self.note(
                items,
                format!(
                    "items must be a list, and is {}; nothing of it is taken over",
                    other.kind()
                ),
            ),
            None => {}
        }
    }

    fn take_server(&mut self, place: &Placed) {
        let Some(server) = server::read(&mut self.notes, place) else {
            return;
        };
        if self.servers.iter().any(|other| other.name == server.name) {
            self.note(
                place,
                format!(
                    "server {:?} is there twice (two namespaces?); the second is left out: rename one of them",
                    server.name
                ),
            );
            return;
        }
        self.servers.push(server);
    }

    fn note(&mut self, place: &Placed, says: String) {
        self.notes.push(Note {
            line: place.place.line(),
            says,
        });
    }

    /// The `servers` block of this configuration.
    #[must_use]
    pub fn servers_block(&self) -> String {
        yaml::servers(&self.servers)
    }

    /// Which annotation the HTTPRoute of which server needs, for the filter to know the server.
    #[must_use]
    pub fn annotations(&self) -> String {
        yaml::annotations(&self.servers)
    }
}
