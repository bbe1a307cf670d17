//! `tokenward import`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use tokenward_control::servers::import::Import;
use url::Url;

/// The file, and what to make of it.
#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    /// Output of `kubectl get mcpservers -o yaml` (or `-o json`); `-` is standard input.
    file: PathBuf,
    /// Print the `servers` of the chart's values instead of control's configuration: clients stay in their Secrets.
    #[arg(long)]
    values: bool,
    /// Also print, as a second document, the annotation that each server's HTTPRoute needs.
    #[arg(long)]
    annotations: bool,
    /// Print instead, for each server with tokenExchange, the two fields of its MCPServer resource that lead the
    /// aggregator's exchanges through control at this URL, for `kubectl apply --server-side`.
    #[arg(long, value_name = "URL", value_parser = https_url, conflicts_with_all = ["annotations", "values"])]
    exchange_endpoint: Option<Url>,
}

/// An address that the aggregator accepts as `dexTokenEndpoint`, once a path is added.
fn https_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must be https://HOST or https://HOST/PATH: the aggregator accepts no other token endpoint"
                .to_owned(),
        );
    }
    Ok(url)
}

/// Prints only the result to standard output, so that it can be redirected to a file.
pub(crate) fn run(flags: &ImportFlags) -> anyhow::Result<()> {
    let (name, text) = read_text(&flags.file)?;
    let import = Import::read(&text).with_context(|| name.clone())?;
    if let Some(base) = &flags.exchange_endpoint {
        return exchange_patches(&name, &import, base);
    }
    let (yaml, notes) = if flags.values {
        let block = import.values_block();
        (block.yaml, block.notes)
    } else {
        (import.servers_block(), import.notes.clone())
    };
    for note in notes {
        eprintln!("{name}: {note}");
    }
    ensure!(
        !import.servers.is_empty(),
        "there is no server to protect in {name}"
    );
    print!("{yaml}");
    if flags.annotations {
        print!("---\n{}", import.annotations());
    }
    Ok(())
}

/// The content of a file, or of standard input for `-`, and its name.
pub(crate) fn read_text(file: &Path) -> anyhow::Result<(String, String)> {
    let (name, text) = if file == Path::new("-") {
        let name = "standard input".to_owned();
        (name, std::io::read_to_string(std::io::stdin()))
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    let text = text.with_context(|| name.clone())?;
    Ok((name, text))
}

/// Prints the patches for the exchange endpoint at `base`.
fn exchange_patches(name: &str, import: &Import, base: &Url) -> anyhow::Result<()> {
    let patches = import.exchange_patches(base);
    for note in &patches.notes {
        eprintln!("{name}: {}", note.text);
    }
    ensure!(
        !patches.yaml.is_empty(),
        "there is no server in {name} whose exchanges could be led through control"
    );
    print!("{}", patches.yaml);
    Ok(())
}
