//! The use cases of the operators' console. It reads the store and changes nothing, except by a confirmed sign-out.

pub(crate) mod activity;
pub(crate) mod detail;
mod directory;
pub(crate) mod listing;
pub(crate) mod login;
pub(crate) mod overview;
pub(crate) mod refusal;
pub(crate) mod replicas;
pub(crate) mod search;
pub(crate) mod sign_out;
pub(crate) mod view;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::activity::NewestEvent;
use super::build;
use super::limits::LimitsByIssuer;
use crate::authorization::source::SourceLimits;
use crate::config::ConsoleConfig;
use crate::context::Context;
use crate::upstream::issuer::HomeIssuer;

/// Live pages of one process: each holds a connection and reads the newest event once a second.
const MOST_LIVE_PAGES: usize = 64;

/// What the `console` section of one configuration determines.
pub(crate) struct Console {
    /// The section.
    pub(crate) config: ConsoleConfig,
    /// The issuer and client at which operators log in.
    home: Arc<HomeIssuer>,
    /// How many logins each address may begin.
    sources: Arc<SourceLimits>,
    /// Places for live pages.
    pub(crate) live_pages: Arc<Semaphore>,
    newest: NewestEvent,
}

impl Console {
    /// The console of `config`, after `earlier`.
    pub(super) fn new(
        config: &ConsoleConfig,
        context: &Context,
        limits: &mut LimitsByIssuer,
        earlier: Option<&Self>,
    ) -> Option<Self> {
        let home = build::homes(std::slice::from_ref(&config.client), context, limits).pop()?;
        Some(Self {
            config: config.clone(),
            home,
            sources: earlier.map_or_else(Arc::default, |earlier| Arc::clone(&earlier.sources)),
            live_pages: earlier.map_or_else(
                || Arc::new(Semaphore::new(MOST_LIVE_PAGES)),
                |earlier| Arc::clone(&earlier.live_pages),
            ),
            newest: NewestEvent::default(),
        })
    }
}
