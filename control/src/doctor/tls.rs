//! The certificate of the listener.

use std::time::{SystemTime, UNIX_EPOCH};

use super::report::Check;
use crate::config::{CertificateProblem, Config, TlsConfig};

/// A certificate that is renewed later than this before its end is mostly one whose renewal fails: cert-manager renews after two
/// thirds of a certificate's life.
const SOON_DAYS: i64 = 7;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Checks what clients of the listener see of it; nothing without TLS.
pub(super) fn certificate(config: &Config) -> Vec<Check> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    config
        .tls
        .iter()
        .flat_map(|tls| checks(tls, now_seconds))
        .collect()
}

fn checks(tls: &TlsConfig, now_seconds: i64) -> Vec<Check> {
    const NAME: &str = "tls certificate";
    let problems = tls.problems(now_seconds);
    if !problems.is_empty() {
        let failed = |problem: &CertificateProblem| Check::fail(NAME, problem.to_string(), problem.hint());
        return problems.iter().map(failed).collect();
    }
    let facts = tls.identity.certificate();
    let days = facts.not_after_seconds.saturating_sub(now_seconds) / DAY;
    let life_days = facts.not_after_seconds.saturating_sub(facts.not_before_seconds) / DAY;
    let names = facts.names.join(", ");
    let clients = match (&tls.files.client_ca, tls.client_names.as_slice()) {
        (None, _) => "clients need no certificate".to_owned(),
        (Some(_), []) => "clients need a certificate of tls.client_ca".to_owned(),
        (Some(_), names) => format!(
            "clients need a certificate of tls.client_ca for {}",
            names.join(" or ")
        ),
    };
    let finding = format!("for {names}; {days} days left; {clients}");
    // One of a short life is near its end at any time.
    if days < SOON_DAYS && life_days > SOON_DAYS * 3 {
        let hint = "see why it was not renewed (cert-manager: the Certificate's events)";
        return vec![Check::warn(NAME, finding, hint)];
    }
    vec![Check::ok(NAME, finding)]
}
