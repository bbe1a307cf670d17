//! The log line about the filter module that control serves.

use crate::config::Config;

/// Logs the path, digest and version of the filter module: Envoy's configuration must name the same digest.
pub(super) fn log_filter_module(config: &Config) {
    let Some(module) = &config.filter_module else {
        return;
    };
    let (path, sha256) = (module.path.display(), module.sha256.as_str());
    match &module.version {
        Some(version) => tracing::info!(%path, sha256, version, "serving the filter module"),
        None => tracing::warn!(
            %path,
            sha256,
            "serving a filter module without a version: make sure that it is of this release"
        ),
    }
}
