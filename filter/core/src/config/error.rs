//! Why a configuration cannot be used.

/// Why a configuration cannot be used: the field, the fault and a hint. The text contains no value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {fault}")]
pub struct BadConfig {
    field: String,
    fault: String,
}

impl BadConfig {
    /// A fault of the field at `field` (`servers[0].auth.kind`); empty for the configuration as a whole.
    pub fn new(field: &str, fault: impl Into<String>) -> Self {
        let field = if field.is_empty() {
            "(the whole configuration)"
        } else {
            field
        };
        Self {
            field: field.to_owned(),
            fault: fault.into(),
        }
    }
}
