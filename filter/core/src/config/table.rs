//! The protected servers and what follows from them: the part of the configuration that control may replace at runtime.

use std::rc::Rc;

use tokenward_protocol::filter_state::MAX_SERVERS;
use tokenward_protocol::json;

use super::audiences::RequiredAudiences;
use super::authorization_server::{AuthorizationServer, authorization_server};
use super::error::BadConfig;
use super::fields::Fields;
use super::numbers::ServerNumbers;
use super::server_index::ServerIndex;
use super::servers::{Server, check_apart, servers};

/// What the servers of a table share, whichever servers these are.
#[derive(Debug, Clone)]
pub(super) struct TableSettings {
    /// `resource_metadata` of servers without their own.
    pub(super) resource_metadata: Option<String>,
    /// Whether the operator chose the annotation.
    pub(super) is_annotated: bool,
    /// Whether the request's host matters where no server has one.
    pub(super) looks_at_hosts: bool,
}

/// The protected servers, compiled.
#[derive(Debug, Clone)]
pub struct ServerTable {
    /// The servers; a position is valid for this table only.
    pub servers: Vec<Rc<Server>>,
    /// Control's own authorization server, if its access tokens are taken.
    pub authorization_server: Option<AuthorizationServer>,
    /// Whether the annotation is read before host and path; otherwise only where these lead to no server.
    pub annotation_first: bool,
    /// Whether the request's host matters: some matcher names one.
    pub hosts_decide: bool,
    /// Finds the servers by name, or by host and path.
    pub(crate) index: ServerIndex,
    /// Every audience that one of them requires.
    pub(crate) required_audiences: RequiredAudiences,
}

impl ServerTable {
    /// Compiles `servers`.
    ///
    /// # Errors
    /// [`BadConfig`]: one of them takes tokens of the authorization server as its issuer's.
    pub(super) fn new(
        servers: Vec<Rc<Server>>,
        authorization_server: Option<AuthorizationServer>,
        settings: &TableSettings,
    ) -> Result<Self, BadConfig> {
        if let Some(own) = &authorization_server {
            check_apart(own, &servers)?;
        }
        let index = ServerIndex::new(&servers);
        Ok(Self {
            authorization_server,
            annotation_first: settings.is_annotated || needs_annotation(&servers),
            hosts_decide: settings.looks_at_hosts || index.has_hosts(),
            required_audiences: RequiredAudiences::of(&servers),
            index,
            servers,
        })
    }

    /// The server with this name.
    #[must_use]
    pub(crate) fn named(&self, name: &str) -> Option<&Rc<Server>> {
        let at = self.index.named(&self.servers, name.as_bytes())?;
        self.servers.get(at)
    }

    /// This table with the servers that control has published, in place of those published before. `fixed` is the table of
    /// the filter's own configuration, whose servers and authorization server win. An unchanged server stays the same one.
    ///
    /// # Errors
    /// [`BadConfig`], naming the first field at fault: nothing of such a list may be used.
    pub(super) fn with_published(
        &self,
        fixed: &Self,
        published: &[u8],
        numbers: &mut ServerNumbers,
        settings: &TableSettings,
    ) -> Result<Self, BadConfig> {
        let json = json::parse(published).map_err(|error| BadConfig::new("", error.to_string()))?;
        let mut fields = Fields::of(json, "")?;
        let own = authorization_server(&mut fields)?;
        let own = fixed.authorization_server.clone().or(own);
        let general = settings.resource_metadata.as_ref();
        let list = servers(
            fields.required("servers")?,
            general,
            own.as_ref(),
            0..=MAX_SERVERS,
        )?;
        fields.end()?;
        let mut all = fixed.servers.clone();
        for mut server in list {
            if fixed.named(&server.name).is_some() {
                continue;
            }
            server.number = numbers.of(&server.name);
            let before = self.named(&server.name).filter(|before| ***before == server);
            all.push(before.map_or_else(|| Rc::new(server), Rc::clone));
        }
        Self::new(all, own, settings)
    }

    /// Whether `server` is one of this table, unchanged.
    #[must_use]
    pub(crate) fn has(&self, server: &Rc<Server>) -> bool {
        self.named(&server.name)
            .is_some_and(|own| Rc::ptr_eq(own, server))
    }

    /// Whether tokens are read alike under both tables.
    #[must_use]
    pub(crate) fn reads_tokens_like(&self, other: &Self) -> bool {
        self.authorization_server == other.authorization_server
            && self.required_audiences == other.required_audiences
    }
}

/// Whether a route's annotation is the only way to one of the servers. Where each has a host or a path of its own, reading
/// the annotation first could only contradict them, and it is the most expensive step of a fresh request (ADR 8).
fn needs_annotation(servers: &[Rc<Server>]) -> bool {
    servers.iter().any(|server| server.route.is_none())
}
