//! The client credentials of an exchange, from the Secret that a resource names.

use secrecy::{ExposeSecret as _, SecretString};
use tokenward_kubernetes::{Resource, SecretRead, SecretReference, Snapshot};

use super::fault::Fault;

/// Identifier and secret of a client.
pub(super) struct Credentials {
    pub(super) client_id: String,
    pub(super) client_secret: SecretString,
}

const FIELD: &str = "spec.auth.tokenExchange.clientCredentialsSecretRef";

pub(super) fn credentials(snapshot: &Snapshot, resource: &Resource) -> Result<Credentials, Fault> {
    let Some(reference) = SecretReference::of(resource) else {
        return Err(Fault::new(
            "SecretNotNamed",
            format!(
                "{FIELD} has no name: name the Secret with the credentials of a client of the remote issuer"
            ),
        ));
    };
    let id = &reference.secret;
    if !reference.is_in_the_namespace_of(resource) {
        return Err(Fault::new(
            "SecretInAnotherNamespace",
            format!(
                "{FIELD} names {id}: Secrets of another namespace are not read; put it into {}, or configure this server in \
                 control's file",
                resource.id.namespace
            ),
        ));
    }
    let values = match snapshot.secrets.get(id) {
        Some(SecretRead::Present(values)) => values,
        Some(SecretRead::Absent) => {
            return Err(Fault::new(
                "SecretMissing",
                format!("{FIELD}: there is no Secret {id}: create it; it is noticed at once"),
            ));
        }
        Some(SecretRead::Denied(why)) => {
            return Err(Fault::new(
                "SecretNotReadable",
                format!(
                    "{FIELD}: the Secret {id} cannot be read ({why}): allow control to list and watch it"
                ),
            ));
        }
        Some(SecretRead::Pending) => {
            return Err(Fault::new(
                "SecretNotRead",
                format!("{FIELD}: the Secret {id} has not been read yet; it is tried again"),
            ));
        }
        None => {
            return Err(Fault::new(
                "TooManySecrets",
                format!("{FIELD}: {id} is one Secret too many: let servers share a Secret, or remove some"),
            ));
        }
    };
    let value = |key: &str, field: &str| {
        values.get(key).map(trimmed).filter(|value| !value.expose_secret().is_empty()).ok_or_else(|| {
            let text = format!(
                "{FIELD}.{field}: the Secret {id} has no usable value at key {key:?}: add it, or name another key"
            );
            Fault::new("SecretKeyMissing", text)
        })
    };
    Ok(Credentials {
        client_id: value(&reference.client_id_key, "clientIdKey")?
            .expose_secret()
            .to_owned(),
        client_secret: value(&reference.client_secret_key, "clientSecretKey")?,
    })
}

/// Without the line break that files have at their end.
fn trimmed(value: &SecretString) -> SecretString {
    value.expose_secret().trim_end_matches(['\n', '\r']).into()
}
