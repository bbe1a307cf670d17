//! `tokenward doctor`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use tokenward_control::doctor::{self, CheckOutcome, Targets};
use url::Url;

use super::import::read_text;

/// What to check, and how to print it.
#[derive(Debug, Args)]
pub(crate) struct DoctorFlags {
    /// The configuration (YAML). Without it only what the other flags name is checked.
    #[arg(
        long,
        value_name = "FILE",
        env = "TOKENWARD_CONFIG",
        required_unless_present_any = ["control", "gateway", "envoy_admin", "resources"]
    )]
    config: Option<PathBuf>,
    /// Check that control at this URL is ready, and which filter module it serves.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    control: Option<Url>,
    /// The SHA-256 of the filter module that the gateway is configured with.
    #[arg(long, value_name = "HEX", value_parser = sha256, requires = "control")]
    filter_sha256: Option<String>,
    /// Check the gateway by requests to this URL: of a server, as its clients use it (may be given several times); or with
    /// the path / for all servers with a `resource`. With --config a made-up stale token is sent as well, which the gateway
    /// must refuse; it logs one WARN for it.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    gateway: Vec<Url>,
    /// Check the filter in Envoy's own configuration, by its admin interface.
    #[arg(long, value_name = "URL", value_parser = http_url)]
    envoy_admin: Option<Url>,
    /// Check the status of the gateway's policies in the output of `kubectl get
    /// envoyextensionpolicies,envoypatchpolicies,httproutes -A -o json`; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err("must be http://HOST:PORT or https://HOST, with a path or without".to_owned());
    }
    Ok(url)
}

fn sha256(text: &str) -> Result<String, String> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() == 64 && text.bytes().all(is_hex) {
        Ok(text.to_owned())
    } else {
        Err("must be 64 digits of lower-case hex, as sha256sum prints them".to_owned())
    }
}

/// Checks and prints the report; an error if a check failed.
#[tokio::main]
pub(crate) async fn run(flags: &DoctorFlags) -> anyhow::Result<()> {
    let targets = Targets {
        control: flags.control.clone(),
        filter_sha256: flags.filter_sha256.clone(),
        gateways: flags.gateway.clone(),
        envoy_admin: flags.envoy_admin.clone(),
        resources: flags.resources.as_deref().map(resources).transpose()?,
    };
    let report = doctor::examine_file(flags.config.as_deref(), &targets).await;
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    ensure!(report.outcome != CheckOutcome::Fail, "at least one check failed");
    Ok(())
}

fn resources(file: &std::path::Path) -> anyhow::Result<serde_json::Value> {
    let (name, text) = read_text(file)?;
    serde_json::from_str(&text).with_context(|| format!("{name} is not JSON: kubectl prints it with -o json"))
}
