//! The audit log: `audit`.

use std::path::PathBuf;

use super::findings::Findings;
use super::raw::RawAudit;
use crate::audit::AuditTarget;

/// What stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// Where the audit log goes; adds a problem if nothing is named.
pub(super) fn audit(findings: &mut Findings, raw: &RawAudit) -> Option<AuditTarget> {
    match raw.file.value.as_str() {
        "" => {
            findings.add(
                raw.file.referenced,
                "audit.file is empty",
                "name a file, or \"-\" for standard output",
            );
            None
        }
        STANDARD_OUTPUT => Some(AuditTarget::StandardOutput),
        path => Some(AuditTarget::File(PathBuf::from(path))),
    }
}
