//! The `control` of the configuration.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::json::Json;

use super::error::BadConfig;
use super::fields::Fields;

/// Half a second: time to read and act on a response that arrived just before the call's own deadline.
const PAUSE_GRACE_MS: u64 = 500;
/// Longest deadline of a call, seconds: a request is held for so long.
const LONGEST_CALL_SECONDS: u64 = 60;

/// How to reach control.
#[derive(Debug)]
pub struct Control {
    /// Envoy cluster.
    pub cluster: String,
    /// `:authority`.
    pub authority: String,
    /// Value of `authorization`: the credential as a bearer (RFC 6750 §2.1).
    pub authorization: SecretString,
    /// Deadline of one call.
    pub timeout: Duration,
    /// Deadline of one pause, in milliseconds: the call's and half a second.
    pub pause_ms: u64,
}

pub(super) fn control(
    json: Json<'_>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Control, BadConfig> {
    let mut fields = Fields::of(json, "control")?;
    let cluster = fields.text("cluster")?;
    let authority = fields
        .optional_text("authority")?
        .unwrap_or_else(|| cluster.clone());
    if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fields.fault("authority", "must be visible ASCII without blanks"));
    }
    let timeout = fields.span("timeout", "5s", LONGEST_CALL_SECONDS)?;
    let credential = credential(fields.required("credential")?, environment)?;
    fields.end()?;
    Ok(Control {
        cluster,
        authority,
        authorization: format!("Bearer {}", credential.expose_secret()).into(),
        timeout,
        pause_ms: whole_ms(timeout).saturating_add(PAUSE_GRACE_MS),
    })
}

fn credential(
    json: Json<'_>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<SecretString, BadConfig> {
    let mut fields = Fields::of(json, "control.credential")?;
    let (value, variable) = (fields.optional_text("value")?, fields.optional_text("env")?);
    let credential = match (value, variable) {
        (Some(value), None) => value,
        (None, Some(name)) => environment(&name).ok_or_else(|| {
            let hint =
                "pass it with vm_config.environment_variables.host_env_keys (Envoy Gateway: env.hostKeys)";
            // Without the name: it may be the secret itself, written into the wrong field.
            fields.fault(
                "env",
                format!("Envoy's environment has no variable of this name; {hint}"),
            )
        })?,
        _ => {
            return Err(BadConfig::new(
                "control.credential",
                "must have exactly one of value and env",
            ));
        }
    };
    fields.end()?;
    // Editors end a file with a line break.
    let credential = credential.trim();
    if credential.is_empty() || !credential.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadConfig::new(
            "control.credential",
            "must be visible ASCII without blanks, and not empty",
        ));
    }
    Ok(credential.into())
}
