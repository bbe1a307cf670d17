//! Counts and logs what the endpoints of our authorization server answer.

use crate::app::Service;
use crate::authorization::refusal::{AuthorizationRefusal, AuthorizationRefused, RefusalLog};
use crate::digest;
use crate::observe::throttle::Emit;

impl Service {
    /// Counts and logs a refusal of `endpoint`. At most one WARN a minute for each endpoint, refusal and client, and one
    /// INFO once the store answers again.
    pub(crate) fn report_authorization_refused(
        &self,
        endpoint: &'static str,
        client: Option<&str>,
        refused: &AuthorizationRefused,
    ) {
        let refusal = refused.refusal.name();
        self.context.metrics.authorization_request(endpoint, refusal);
        let (client, cause) = (client.unwrap_or("-"), refused.cause.as_str());
        if refused.refusal.log() == RefusalLog::Debug {
            tracing::debug!(endpoint, client, refusal, cause, "refused");
            return;
        }
        // One key for an outage, whichever client meets it.
        let per_client = match refused.refusal {
            AuthorizationRefusal::StoreUnavailable => "",
            _ => client,
        };
        let key = digest::hex_of_parts(&["authorization", endpoint, refusal, per_client]);
        match self.throttle.failed(&key, self.context.clock.now_ms()) {
            Emit::Warn { suppressed } => {
                tracing::warn!(endpoint, client, refusal, cause, suppressed, "refused");
            }
            Emit::Debug => tracing::debug!(endpoint, client, refusal, cause, "refused"),
        }
    }

    /// Logs that a user was shown an error page with `reference`, at DEBUG: any link can show one.
    pub(crate) fn log_error_page(
        &self,
        endpoint: &'static str,
        refused: &AuthorizationRefused,
        reference: &str,
    ) {
        let (refusal, cause) = (refused.refusal.name(), refused.cause.as_str());
        tracing::debug!(endpoint, reference, refusal, cause, "error page shown");
    }

    /// Counts a success of `endpoint`.
    pub(crate) fn report_authorization_done(&self, endpoint: &'static str, outcome: &'static str) {
        self.context.metrics.authorization_request(endpoint, outcome);
        if self.throttle.is_calm(self.context.clock.now_ms()) {
            return;
        }
        let outage = AuthorizationRefusal::StoreUnavailable.name();
        let key = digest::hex_of_parts(&["authorization", endpoint, outage, ""]);
        if let Some(suppressed) = self.throttle.recovered(&key) {
            tracing::info!(endpoint, suppressed, "the store answers again");
        }
    }
}
