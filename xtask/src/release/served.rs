//! The check of images and chart as a user gets them: uploaded to a registry on 127.0.0.1, installed by the chart's address
//! alone, and every digest in the rendered resources compared with what the registry serves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::artefacts::Artefacts;
use super::binaries::Program;
use super::chart;
use super::files::sha256_of;
use super::images::{CERTIFICATES, Images, MODULE, PLUGIN, PROGRAM, USER};
use super::plan::Plan;
use super::rendered::{container_images, digests_in};
use crate::process;
use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;

const KUBERNETES: &str = "1.32.0";
/// What no chart can know: where users log in, and which servers are protected.
const VALUES: &str = r#"{
"issuers": [{"issuer": "https://dex.example.com", "clientId": "aggregator",
             "clientSecretRef": {"name": "tokenward-dex", "key": "client-secret"}}],
"servers": [{"name": "kubernetes", "auth": {"type": "oauth", "forwardToken": true},
             "match": {"host": "mcp.example.com", "pathPrefix": "/kubernetes"}}]
}"#;

/// One platform of an image, downloaded.
#[derive(Debug, Deserialize)]
struct Served {
    architecture: String,
    config: Config,
    files: BTreeMap<String, File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    user: String,
    #[serde(default)]
    entrypoint: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    sha256: String,
    mode: u32,
}

/// Uploads, downloads, renders and compares; the plan gets the chart's digest.
pub(super) fn check(
    workspace: &Workspace,
    terminal: &Terminal,
    artefacts: &Artefacts,
    helm: &Path,
    plan: &mut Plan,
    images: &Images,
    programs: &[Program],
) -> Result<()> {
    let registry = artefacts.registry()?;
    let at = |repository: &str| on_loopback(repository, &registry.address);
    let control = at(&plan.control_repository());
    let filter = at(&plan.filter_repository());
    let module = sha256_of(&plan.out.join(plan.module_name()))?;
    terminal.step("upload", |step| {
        for (file, repository, digest) in [
            (plan.control_image_name(), &control, &images.control),
            (plan.filter_image_name(), &filter, &images.filter),
        ] {
            let reference = format!("{repository}:{}", plan.version);
            let served = artefacts.push(step, &plan.out.join(file), &reference)?;
            ensure!(
                &served == digest,
                "{reference} is served as {served}, not as {digest}"
            );
        }
        let place = at(&plan.chart_repository());
        let folder = place.trim_end_matches("/tokenward");
        let pushed = chart::push(helm, step, &plan.out.join(plan.chart_name()), folder, true)?;
        let served = artefacts.digest(step, &format!("{place}:{}", plan.version))?;
        ensure!(
            pushed == served,
            "the chart is served as {served}, not as {pushed}"
        );
        plan.chart_digest = Some(served);
        Ok(Outcome::new(
            "passed",
            "two images and the chart, to a registry on 127.0.0.1",
        ))
    })?;
    terminal.step("download", |step| {
        let by_digest = |repository: &str, digest: &str| format!("{repository}@{digest}");
        let served: Vec<Served> = artefacts.served(step, &by_digest(&control, &images.control))?;
        check_control(&served, &module, programs)?;
        let served: Vec<Served> = artefacts.served(step, &by_digest(&filter, &images.filter))?;
        check_filter(&served, &module)?;
        Ok(Outcome::new(
            "passed",
            format!(
                "{} platforms of control, each file as it was built",
                programs.len()
            ),
        ))
    })?;
    terminal.step("install", |step| {
        let values = plan.scratch.join("values.json");
        std::fs::write(&values, VALUES)?;
        let render = |settings: &[&str]| {
            let address = format!("oci://{}", at(&plan.chart_repository()));
            template(workspace, step, helm, plan, &address, &values, settings)
        };
        check_resources(&render(&[])?, plan, images, &[&images.filter])?;
        let by_control = format!("sha256:{module}");
        check_resources(
            &render(&["gateway.filter.source=control"])?,
            plan,
            images,
            &[&by_control],
        )?;
        Ok(Outcome::new(
            "passed",
            "helm template oci://…: control, filter's image and module by the digests that are served",
        ))
    })
}

/// The same repository in the registry of the check.
fn on_loopback(repository: &str, address: &str) -> String {
    let path = repository.split_once('/').map_or("", |(_, path)| path);
    format!("{address}/{path}")
}

fn check_control(served: &[Served], module: &str, programs: &[Program]) -> Result<()> {
    ensure!(
        served.len() == programs.len(),
        "the index has {} platforms, {} were built",
        served.len(),
        programs.len()
    );
    for program in programs {
        let architecture = program.platform.architecture;
        let image = served
            .iter()
            .find(|image| image.architecture == architecture)
            .with_context(|| format!("the index has no image for {architecture}"))?;
        ensure!(
            image.config.user == USER,
            "the image runs as {:?}",
            image.config.user
        );
        ensure!(
            image.config.entrypoint == [format!("/{PROGRAM}")],
            "the image starts {:?}",
            image.config.entrypoint
        );
        let file = |path: &str| {
            image
                .files
                .get(path)
                .with_context(|| format!("the image for {architecture} has no {path}"))
        };
        let built = sha256_of(&program.path)?;
        ensure!(
            file(PROGRAM)?.sha256 == built,
            "the image has another program than was built"
        );
        ensure!(file(PROGRAM)?.mode == 0o755, "the program cannot be started");
        ensure!(
            file(MODULE)?.sha256 == module,
            "the image has another module than was built"
        );
        file(CERTIFICATES)?;
    }
    Ok(())
}

fn check_filter(served: &[Served], module: &str) -> Result<()> {
    let [image] = served else {
        anyhow::bail!("the filter's image has {} platforms", served.len())
    };
    let files: Vec<(&str, &str)> = image
        .files
        .iter()
        .map(|(path, file)| (path.as_str(), file.sha256.as_str()))
        .collect();
    ensure!(
        files == [(PLUGIN, module)],
        "the filter's image has other files: {files:?}"
    );
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn template(
    workspace: &Workspace,
    step: &Step,
    helm: &Path,
    plan: &Plan,
    address: &str,
    values: &Path,
    settings: &[&str],
) -> Result<String> {
    let home = plan.scratch.join("helm");
    let mut template = Command::new(helm);
    template
        .current_dir(workspace.root())
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .args(["template", "tokenward", address, "--plain-http"])
        .args(["--version", plan.version, "--namespace", "mcp"])
        .args(["--kube-version", KUBERNETES, "--values"])
        .arg(values);
    for setting in settings {
        template.args(["--set", setting]);
    }
    let run = process::capture(&mut template, step, Duration::from_secs(120))?.succeeded("helm template")?;
    Ok(run.stdout)
}

/// The resources name control's index and `others` by digest, nothing else, and no image by a tag alone.
fn check_resources(resources: &str, plan: &Plan, images: &Images, others: &[&String]) -> Result<()> {
    let digits = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let expected: BTreeSet<String> = others
        .iter()
        .map(|digest| digits(digest))
        .chain([digits(&images.control)])
        .collect();
    let found = digests_in(resources);
    ensure!(
        found == expected,
        "the rendered resources name {found:?}, and the registry serves {expected:?}"
    );
    let expected = format!("{}@{}", plan.control_repository(), images.control);
    let images = container_images(resources);
    ensure!(
        !images.is_empty() && images.iter().all(|image| *image == expected),
        "containers run {images:?}, not {expected}"
    );
    Ok(())
}
