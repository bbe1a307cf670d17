//! `filter_module`: the wasm module that control serves to Envoy, read and checked once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::findings::Findings;
use super::raw::RawFilterModule;
use crate::digest;

/// Magic number and version of a WebAssembly 1.0 module (core specification §5.5.16).
const WASM_PREAMBLE: &[u8] = b"\0asm\x01\0\0\0";
/// The custom section in which the build writes the filter's version.
const VERSION_SECTION: &[u8] = b"tokenward_version";
/// Envoy accepts modules of any size; the filter's are far smaller.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A module that is ready to be served.
#[derive(Clone)]
pub struct FilterModule {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The module's bytes.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of the bytes as 64 lower-case hex digits, which Envoy's configuration must name.
    pub sha256: String,
    /// The content of its custom section `tokenward_version`.
    pub version: Option<String>,
}

impl fmt::Debug for FilterModule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FilterModule")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

pub(super) fn filter_module(findings: &mut Findings, raw: &RawFilterModule) -> Option<FilterModule> {
    let place = raw.path.referenced;
    let path = PathBuf::from(&raw.path.value);
    findings.named_file(path.clone());
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(cause) => {
            findings.add(
                place,
                format!("filter_module.path {}: {cause}", path.display()),
                "name the tokenward_filter.wasm of this release, readable for this process",
            );
            return None;
        }
    };
    let version = version(&bytes);
    if let Some(other) = version
        .as_deref()
        .filter(|version| *version != env!("CARGO_PKG_VERSION"))
    {
        findings.add(
            place,
            format!(
                "the filter module {} has version {other:?}, and this is tokenward {}",
                path.display(),
                env!("CARGO_PKG_VERSION")
            ),
            "deploy both from one release",
        );
        return None;
    }
    Some(FilterModule {
        path,
        sha256: digest::hex(&Sha256::digest(&bytes)),
        bytes: bytes.into(),
        version,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !file.is_file() {
        return Err("is not a file".to_owned());
    }
    if file.len() > MAX_BYTES {
        return Err(format!("is larger than {MAX_BYTES} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.starts_with(WASM_PREAMBLE) {
        Ok(bytes)
    } else {
        Err("is not a WebAssembly module".to_owned())
    }
}

/// The version in the module's custom section; `None` if it is absent or malformed.
fn version(module: &[u8]) -> Option<String> {
    let mut rest = module.get(WASM_PREAMBLE.len()..)?;
    while let Some((id, after)) = rest.split_first() {
        let (length, after) = unsigned(after)?;
        let (body, after) = after.split_at_checked(length)?;
        rest = after;
        if *id != 0 {
            continue;
        }
        let (name_length, body) = unsigned(body)?;
        let (name, content) = body.split_at_checked(name_length)?;
        if name == VERSION_SECTION {
            let text = std::str::from_utf8(content).ok()?;
            return (text.len() <= 64 && text.chars().all(|letter| letter.is_ascii_graphic()))
                .then(|| text.to_owned());
        }
    }
    None
}

/// Parses an unsigned LEB128 integer of at most 32 bits (§5.2.2).
fn unsigned(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}
