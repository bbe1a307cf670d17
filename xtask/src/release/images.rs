//! The container images, as OCI layouts in tars: control for every platform in one index, and the filter's module.
//!
//! Neither has a base image: control is one static file, and what it reads of a system is the list of certificate authorities.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::artefacts::Artefacts;
use super::binaries::Program;
use super::plan::Plan;
use crate::modules;
use crate::setup::release_tools::ReleaseTools;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

/// Where the files are in control's image, without the slash before them.
pub(super) const PROGRAM: &str = "usr/bin/tokenward";
pub(super) const MODULE: &str = "usr/share/tokenward/tokenward_filter.wasm";
pub(super) const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
/// The only file of the filter's image, where Envoy Gateway looks.
pub(super) const PLUGIN: &str = "plugin.wasm";
/// No user of any system, and not root.
pub(super) const USER: &str = "65532:65532";

const CONTROL: &str = "Control of Tokenward, with the filter's module of the same version";

/// The digests of both images: `sha256:…`.
#[derive(Debug, Clone)]
pub(super) struct Images {
    /// Of the index.
    pub(super) control: String,
    /// Of the manifest: what Envoy Gateway compares is a manifest's digest, never an index's.
    pub(super) filter: String,
}

/// Makes both, each twice to compare; none where control could be built for no platform.
pub(super) fn make(
    workspace: &Workspace,
    terminal: &Terminal,
    tools: &ReleaseTools,
    artefacts: &Artefacts,
    plan: &mut Plan,
    programs: &[Program],
) -> Result<Option<Images>> {
    let Some(python) = tools.python.as_ref().filter(|_| !programs.is_empty()) else {
        plan.leave_out_if(true, "both images: no platform's control");
        return Ok(None);
    };
    let specifications = [
        (
            "image of control",
            plan.control_image_name(),
            control(workspace, plan, python, programs),
        ),
        (
            "image of the filter",
            plan.filter_image_name(),
            filter(workspace, plan),
        ),
    ];
    let mut digests = Vec::new();
    for (title, name, specification) in specifications {
        terminal.step(title, |step| {
            let digest = make_twice(step, artefacts, plan, &name, &specification)?;
            digests.push(digest.clone());
            Ok(Outcome::new("written", format!("{name}, {digest}")))
        })?;
    }
    let filter = digests.pop().context("no digest of the filter's image")?;
    let control = digests.pop().context("no digest of control's image")?;
    Ok(Some(Images { control, filter }))
}

/// The image in the finished files, and once more: the same files must give the same bytes.
fn make_twice(
    step: &Step,
    artefacts: &Artefacts,
    plan: &Plan,
    name: &str,
    specification: &Value,
) -> Result<String> {
    let described = plan.scratch.join("image.json");
    std::fs::write(&described, specification.to_string())?;
    let (out, again) = (plan.out.join(name), plan.scratch.join("again.oci.tar"));
    let digest = artefacts.image(step, &described, &out)?;
    artefacts.image(step, &described, &again)?;
    ensure!(
        std::fs::read(&out)? == std::fs::read(&again)?,
        "the same files gave two different images"
    );
    std::fs::remove_file(&again)?;
    Ok(digest)
}

fn control(workspace: &Workspace, plan: &Plan, python: &Path, programs: &[Program]) -> Value {
    let module = modules::module_path(workspace);
    let certificates = python.join("certifi/cacert.pem");
    let licence = workspace.root().join("LICENSE");
    let others = plan.out.join(plan.licences_name());
    // What all platforms share is a layer of its own.
    let shared = json!([
        file(CERTIFICATES, &certificates, 0o644),
        file(MODULE, &module, 0o644),
        file("usr/share/tokenward/LICENSE", &licence, 0o644),
        file("usr/share/tokenward/THIRD-PARTY-LICENCES.txt", &others, 0o644),
    ]);
    let platforms: Vec<Value> = programs
        .iter()
        .map(|program| control_platform(plan, program, &shared))
        .collect();
    json!({
        "created": plan.time_seconds,
        "index": true,
        "version": plan.version,
        "annotations": labels(plan, "tokenward", CONTROL),
        "platforms": platforms,
    })
}

fn filter(workspace: &Workspace, plan: &Plan) -> Value {
    let plugin = file(PLUGIN, &modules::module_path(workspace), 0o644);
    json!({
        "created": plan.time_seconds,
        "index": false,
        "version": plan.version,
        "annotations": labels(plan, "tokenward-filter", "The filter of Tokenward as a module of WebAssembly"),
        // One for all: the module is the same everywhere, and Envoy Gateway reads it as amd64 does.
        "platforms": [{"architecture": "amd64", "config": {}, "layers": [[plugin]]}],
    })
}

fn control_platform(plan: &Plan, program: &Program, shared: &Value) -> Value {
    json!({
        "architecture": program.platform.architecture,
        "config": {
            "User": USER,
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": [format!("/{PROGRAM}")],
            "Cmd": ["serve", "--config", "/etc/tokenward/tokenward.yaml"],
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": labels(plan, "tokenward", CONTROL),
        },
        "layers": [shared, [file(PROGRAM, &program.path, 0o755)]],
    })
}

fn file(path: &str, source: &Path, mode: u32) -> Value {
    json!({"path": path, "source": source, "mode": mode})
}

/// Annotations and labels of the OCI image specification.
fn labels(plan: &Plan, title: &str, description: &str) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.title": title,
        "org.opencontainers.image.description": description,
        "org.opencontainers.image.version": plan.version,
        "org.opencontainers.image.revision": plan.commit,
        "org.opencontainers.image.licenses": "Apache-2.0",
    });
    if let Some(source) = &plan.source {
        labels["org.opencontainers.image.source"] = json!(source);
    }
    labels
}
