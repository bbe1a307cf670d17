//! The audiences that decide: the only ones of a token that the filter stores.

use std::rc::Rc;

use super::servers::Server;

/// Every audience that some server requires of a token, presented or delivered, sorted, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RequiredAudiences(Vec<String>);

impl RequiredAudiences {
    /// Those of `servers`, and their resources, where these are the audiences of access tokens of our own.
    #[must_use]
    pub(crate) fn of(servers: &[Rc<Server>]) -> Self {
        let mut all = Vec::new();
        for server in servers {
            let resource = server.access_tokens.iter().map(|own| &own.resource);
            let required = server.presented.audiences.iter();
            for audience in required.chain(&server.delivered.audiences).chain(resource) {
                insert(&mut all, audience.clone());
            }
        }
        Self(all)
    }

    /// Those of `audiences` that are required somewhere, sorted, each once: a token may name thousands.
    #[must_use]
    pub(crate) fn among(&self, audiences: Vec<String>) -> Vec<String> {
        let mut required = Vec::new();
        for audience in audiences {
            if self.0.binary_search(&audience).is_ok() {
                insert(&mut required, audience);
            }
        }
        required
    }
}

fn insert(sorted: &mut Vec<String>, text: String) {
    if let Err(place) = sorted.binary_search(&text) {
        sorted.insert(place, text);
    }
}
