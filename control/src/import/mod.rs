//! `tokenward import`: from the aggregator's MCPServer resources to the `servers` of this configuration.
//!
//! The `auth` block is the same in both, but for the client credentials, which the resource takes from a Kubernetes
//! Secret that is not in the file. What is left out or must be filled in is said with its line.

mod node;
mod server;
mod yaml;

use std::fmt;

use self::node::{Node, Placed};
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
    /// Reads what `kubectl get mcpservers -o yaml` prints: a `List`, one resource, or several documents.
    ///
    /// # Errors
    /// [`NotYaml`]. Everything else that is wrong is a note.
    pub fn read(text: &str) -> Result<Self, NotYaml> {
        let options = serde_saphyr::options! { with_snippet: false };
        let documents: Vec<Placed> =
            serde_saphyr::from_multiple_with_options(text, options).map_err(|error| NotYaml {
                line: error.location().map_or(0, |place| place.line()),
                what: error
                    .without_snippet()
                    .to_string()
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
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
        let kind = document.value.text("kind");
        match (&document.value, kind) {
            (Node::Null, _) => {}
            (Node::List(items), _) => items.iter().for_each(|item| self.take_in(item)),
            (node, Some("List" | "MCPServerList")) => {
                let items = node.get("items").map_or(&[][..], |items| items.value.items());
                items.iter().for_each(|item| self.take_in(item));
            }
            (node, Some("MCPServer")) => self.take_server(document, node),
            (_, kind) => self.note(
                document,
                format!(
                    "{} is no MCPServer; it is left out",
                    kind.unwrap_or("a document without a kind")
                ),
            ),
        }
    }

    fn take_server(&mut self, place: &Placed, node: &Node) {
        let Some(server) = server::read(&mut self.notes, place, node) else {
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
            line: place.referenced.line(),
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
