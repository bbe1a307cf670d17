//! Access tokens of logins, which are not kept yet.

use std::sync::Arc;

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::Reason;

use super::record::GrantKey;
use super::{Grants, Served};
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::issuer::HomeIssuer;

impl Grants {
    /// The access token of `key`.
    ///
    /// # Errors
    /// [`Refused`].
    #[expect(clippy::unused_async, reason = "it is read from the store once it is kept")]
    pub async fn access_token(
        &self,
        _: &GrantKey,
        _: &Arc<HomeIssuer>,
        _: Reason,
        _: Entitlement,
    ) -> Result<Served, Refused> {
        Err(Refused::new(Refusal::NeedsLogin).because("no access token of the login is kept"))
    }
}
