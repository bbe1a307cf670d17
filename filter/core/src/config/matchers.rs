//! The `host` and `path_prefix` of a server.

use tokenward_protocol::route::{BadRoute, Route};

use super::error::BadConfig;
use super::fields::Fields;

/// Takes `host` and `path_prefix`; `None` when neither is there.
pub(super) fn route(fields: &mut Fields<'_>) -> Result<Option<Route>, BadConfig> {
    let (host, path_prefix) = (
        fields.optional_text("host")?,
        fields.optional_text("path_prefix")?,
    );
    Route::read(host.as_deref(), path_prefix.as_deref()).map_err(|bad| match bad {
        BadRoute::Host(fault) => fields.fault("host", fault),
        BadRoute::PathPrefix(fault) => fields.fault("path_prefix", fault),
    })
}
