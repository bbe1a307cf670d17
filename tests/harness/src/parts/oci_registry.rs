//! A registry on this machine with one image: the filter's module.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::{EnvoyGateway, Process, ProcessSpec, tools};

/// A running registry. It ends with this guard.
#[derive(Debug)]
pub struct OciRegistry {
    reference: String,
    digest: String,
    _process: Process,
}

impl OciRegistry {
    /// Serves the module as `plugin.wasm` in an image of one layer.
    ///
    /// # Errors
    /// When it is not built here, or does not start.
    pub async fn start(module: &Path) -> anyhow::Result<Self> {
        let program = tools::oci_registry()?.context(EnvoyGateway::IS_MISSING)?;
        let process = Process::start(&ProcessSpec::new("oci-registry", program, [module.as_os_str()]))?;
        let is_said = |line: &str| line.starts_with("image ");
        let line = process
            .log()
            .wait_for_line(is_said, Duration::from_secs(30))
            .await?;
        let mut words = line.split(' ').skip(1).map(str::to_owned);
        let (reference, digest) = words.next().zip(words.next()).context("no image and digest")?;
        Ok(Self {
            reference,
            digest,
            _process: process,
        })
    }

    /// `127.0.0.1:PORT/NAME:TAG`.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// SHA-256 of the image, 64 hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}
