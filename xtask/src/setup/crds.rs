//! CustomResourceDefinitions of other projects, out of the Go modules that they release, for `cargo xtask cluster`.
//!
//! They are data that only the tests read: each file comes from the module's zip, by its sum, into target/tools/crds.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::go::{Stamp, module_zip, shortly};
use super::{Network, fresh_folder, pip};
use crate::process;
use crate::terminal::{Outcome, Step};
use crate::workspace::Workspace;

const LONGEST_UNPACKING: Duration = Duration::from_secs(120);

/// A release, and the folder in it whose files are CRDs.
struct Source {
    /// Its folder in target/tools/crds.
    name: &'static str,
    module: &'static str,
    version: &'static str,
    /// The module's sum, as a go.sum has it.
    sum: &'static str,
    /// Below the module's root.
    folder: &'static str,
}

/// Gateway API's in the channel that Envoy Gateway installs, and its own; the monitors of the chart; ToolHive's servers.
const SOURCES: [Source; 3] = [
    Source {
        name: "envoy-gateway",
        module: "github.com/envoyproxy/gateway",
        version: "v1.9.0",
        sum: "h1:PaOpud15v3kDCl3L5yc1TdYzggCMpRm1yRjNKmLkzHA=",
        folder: "charts/gateway-helm/charts/crds/crds",
    },
    Source {
        name: "prometheus-operator",
        module: "github.com/prometheus-operator/prometheus-operator",
        version: "v0.85.0",
        sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        folder: "example/prometheus-operator-crd",
    },
    Source {
        name: "toolhive",
        module: "github.com/stacklok/toolhive",
        version: "v0.63.0",
        sum: "h1:DiZPVaTjVB7IOFR5mhME2M6kn/2VwacrPZqnsShmcmo=",
        folder: "deploy/charts/operator-crds/files/crds",
    },
];

/// Unpacks argument 2, below `MODULE@VERSION/FOLDER/` of the zip, into argument 3; prints how many files these were.
const UNPACK: &str = r#"
import os, sys, zipfile
archive, prefix, target = sys.argv[1:]
count = 0
with zipfile.ZipFile(archive) as files:
    for name in files.namelist():
        if name.startswith(prefix) and name.endswith(".yaml"):
            flat = name[len(prefix):].replace("/", "-")
            with open(os.path.join(target, flat), "wb") as place:
                place.write(files.read(name))
            count += 1
print(count)
"#;

/// Leaves every source's CRDs in target/tools/crds.
///
/// # Errors
/// When a folder cannot be written, or a module's sum is another one. Without Go or network they are left out.
pub(super) fn provide(workspace: &Workspace, step: &Step, network: Network) -> Result<Outcome> {
    let place = workspace.tools().join("crds");
    let pin: String = SOURCES
        .iter()
        .map(|source| {
            format!(
                "{} {} {} {}\n",
                source.module, source.version, source.sum, source.folder
            )
        })
        .collect();
    let stamp = Stamp::beside(&place);
    if stamp.matches(&pin) && place.is_dir() {
        return Ok(Outcome::new("there", workspace.shown(&place)));
    }
    let fresh = fresh_folder(workspace, "crds")?;
    let mut count = 0;
    for source in &SOURCES {
        step.now(format!("fetching {} {}", source.module, source.version));
        let (zip, sum) = match module_zip(step, network, source.module, source.version) {
            Ok(fetched) => fetched,
            Err(error) => {
                return Ok(Outcome::skipped(format!(
                    "{}; `cargo xtask cluster` cannot run",
                    shortly(&error)
                )));
            }
        };
        ensure!(
            sum == source.sum,
            "{} {} has the sum {sum}, not {}",
            source.module,
            source.version,
            source.sum
        );
        count += unpack(source, step, &zip, &fresh.join(source.name))?;
    }
    if place.exists() {
        std::fs::remove_dir_all(&place).with_context(|| format!("cannot empty {}", place.display()))?;
    }
    std::fs::rename(&fresh, &place).with_context(|| format!("cannot write {}", place.display()))?;
    stamp.write(&pin)?;
    Ok(Outcome::new(
        "fetched",
        format!("{count} files, {}", workspace.shown(&place)),
    ))
}

fn unpack(source: &Source, step: &Step, zip: &Path, target: &Path) -> Result<usize> {
    std::fs::create_dir(target).with_context(|| format!("cannot create {}", target.display()))?;
    let mut python = pip::python();
    python.args(["-c", UNPACK]).arg(zip);
    python.arg(format!("{}@{}/{}/", source.module, source.version, source.folder));
    let run = process::capture(python.arg(target), step, LONGEST_UNPACKING)?.succeeded("unpacking CRDs")?;
    let count = run.stdout.trim().parse().context("no count of files")?;
    ensure!(count > 0, "{} has no CRDs in {}", source.module, source.folder);
    Ok(count)
}
