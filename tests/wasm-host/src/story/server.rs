//! Protected servers as the filter's configuration names them.

use serde_json::{Value, json};

use super::{AGGREGATOR_AUDIENCE, AUDIENCE, ISSUER, REMOTE_ISSUER};

/// A server whose users' own ID tokens are forwarded; reached at `/<name>`.
#[must_use]
pub fn forward(name: &str) -> ServerSpec {
    ServerSpec::new(name, ISSUER, None)
}

/// A server whose users' ID tokens are exchanged at its own issuer; reached at `/<name>`.
#[must_use]
pub fn exchange(name: &str) -> ServerSpec {
    ServerSpec::new(
        name,
        REMOTE_ISSUER,
        Some((ISSUER.into(), vec![AGGREGATOR_AUDIENCE.into()])),
    )
}

/// One entry of `servers`. Audiences that a story names take the place of the default one.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    name: String,
    path_prefix: Option<String>,
    host: Option<String>,
    resource: Option<String>,
    resource_metadata: Option<String>,
    issuer: String,
    audiences: Option<Vec<String>>,
    /// Issuer and audiences of the presented token, where it is exchanged.
    subject: Option<(String, Vec<String>)>,
    is_opaque: bool,
}

impl ServerSpec {
    fn new(name: &str, issuer: &str, subject: Option<(String, Vec<String>)>) -> Self {
        Self {
            name: name.into(),
            path_prefix: Some(format!("/{name}")),
            host: None,
            resource: None,
            resource_metadata: None,
            issuer: issuer.into(),
            audiences: None,
            subject,
            is_opaque: false,
        }
    }

    /// Issuer of the token that the server gets.
    #[must_use]
    pub fn issuer(mut self, issuer: &str) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// One more required audience of the token that the server gets.
    #[must_use]
    pub fn audience(mut self, audience: &str) -> Self {
        self.audiences.get_or_insert_default().push(audience.into());
        self
    }

    /// Issuer of the presented token.
    ///
    /// # Panics
    /// On a server that forwards: it has no other token.
    #[must_use]
    pub fn subject_issuer(mut self, issuer: &str) -> Self {
        self.subject
            .as_mut()
            .expect("only exchange() has a subject issuer")
            .0 = issuer.into();
        self
    }

    /// Required audiences of the presented token.
    ///
    /// # Panics
    /// On a server that forwards: it has no other token.
    #[must_use]
    pub fn subject_audiences(mut self, audiences: &[&str]) -> Self {
        let subject = self
            .subject
            .as_mut()
            .expect("only exchange() has subject audiences");
        subject.1 = audiences.iter().map(|audience| (*audience).to_owned()).collect();
        self
    }

    /// It gets tokens that the filter does not read.
    #[must_use]
    pub fn opaque(mut self) -> Self {
        self.is_opaque = true;
        self
    }

    /// The host of its route.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.into());
        self
    }

    /// The path prefix of its route.
    #[must_use]
    pub fn path_prefix(mut self, path_prefix: &str) -> Self {
        self.path_prefix = Some(path_prefix.into());
        self
    }

    /// Found by the route's annotation only.
    #[must_use]
    pub fn without_path(mut self) -> Self {
        self.path_prefix = None;
        self
    }

    /// The URL by which MCP clients know it: the audience of access tokens of our own.
    #[must_use]
    pub fn resource(mut self, url: &str) -> Self {
        self.resource = Some(url.into());
        self
    }

    /// `resource_metadata` of its 401 challenges.
    #[must_use]
    pub fn resource_metadata(mut self, url: &str) -> Self {
        self.resource_metadata = Some(url.into());
        self
    }
}

/// The entry as the filter reads it.
impl From<ServerSpec> for Value {
    fn from(server: ServerSpec) -> Self {
        let audiences = server.audiences.unwrap_or_else(|| vec![AUDIENCE.into()]);
        let mut auth = json!({"kind": "forward", "issuer": server.issuer, "required_audiences": audiences});
        if let Some((issuer, audiences)) = server.subject {
            auth["kind"] = "exchange".into();
            auth["subject_issuer"] = json!(issuer);
            auth["subject_audiences"] = json!(audiences);
        }
        if server.is_opaque {
            auth["delivered"] = "opaque".into();
        }
        let mut entry = json!({"name": server.name, "auth": auth});
        let optional = [
            ("path_prefix", server.path_prefix),
            ("host", server.host),
            ("resource", server.resource),
            ("resource_metadata", server.resource_metadata),
        ];
        for (field, value) in optional {
            if let Some(value) = value {
                entry[field] = json!(value);
            }
        }
        entry
    }
}
