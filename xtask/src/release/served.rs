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

/// The registry of the check, and what is compared with it.
struct Check<'a> {
    artefacts: &'a Artefacts,
    helm: &'a Path,
    plan: &'a Plan,
    images: &'a Images,
    programs: &'a [Program],
    /// `HOST:PORT`.
    address: &'a str,
    /// The SHA-256 of the module that was built.
    module: String,
}

/// Uploads, downloads, renders and compares; answers with the chart's digest.
pub(super) fn check(
    terminal: &Terminal,
    artefacts: &Artefacts,
    helm: &Path,
    plan: &Plan,
    images: &Images,
    programs: &[Program],
) -> Result<String> {
    let registry = artefacts.registry()?;
    let check = Check {
        artefacts,
        helm,
        plan,
        images,
        programs,
        address: &registry.address,
        module: sha256_of(&plan.out.join(plan.module_name()))?,
    };
    let mut chart = String::new();
    terminal.step("upload", |step| {
        chart = check.upload(step)?;
        Ok(Outcome::new(
            "passed",
            "two images and the chart, to a registry on 127.0.0.1",
        ))
    })?;
    terminal.step("download", |step| check.download(step))?;
    terminal.step("install", |step| check.install(step))?;
    Ok(chart)
}

impl Check<'_> {
    /// The same repository in the registry of the check.
    fn at(&self, repository: &str) -> String {
        on_loopback(repository, self.address)
    }

    fn upload(&self, step: &Step) -> Result<String> {
        let plan = self.plan;
        for (file, repository, digest) in [
            (
                plan.control_image_name(),
                plan.control_repository(),
                &self.images.control,
            ),
            (
                plan.filter_image_name(),
                plan.filter_repository(),
                &self.images.filter,
            ),
        ] {
            let reference = format!("{}:{}", self.at(&repository), plan.version);
            let served = self.artefacts.push(step, &plan.out.join(file), &reference)?;
            ensure!(
                &served == digest,
                "{reference} is served as {served}, not as {digest}"
            );
        }
        self.ensure_tags_stay(step)?;
        let place = self.at(&plan.chart_repository());
        let folder = place.trim_end_matches("/tokenward");
        let file = plan.out.join(plan.chart_name());
        let pushed = chart::push(self.helm, step, &file, folder, true)?;
        let served = self
            .artefacts
            .digest(step, &format!("{place}:{}", plan.version))?;
        ensure!(
            pushed == served,
            "the chart is served as {served}, not as {pushed}"
        );
        Ok(served)
    }

    /// A tag that was written once cannot be moved to another image.
    fn ensure_tags_stay(&self, step: &Step) -> Result<()> {
        let tag = format!(
            "{}:{}",
            self.at(&self.plan.control_repository()),
            self.plan.version
        );
        let other = self.plan.out.join(self.plan.filter_image_name());
        let moved = self.artefacts.push(step, &other, &tag);
        let is_refused = moved.is_err_and(|error| format!("{error:#}").contains("is there already"));
        ensure!(is_refused, "an upload can move the tag {tag} to another image");
        ensure!(
            self.artefacts.digest(step, &tag)? == self.images.control,
            "{tag} leads to another image after a refused upload"
        );
        Ok(())
    }

    fn download(&self, step: &Step) -> Result<Outcome> {
        let served = |repository: &str, digest: &str| -> Result<Vec<Served>> {
            self.artefacts
                .served(step, &format!("{}@{digest}", self.at(repository)))
        };
        let control = served(&self.plan.control_repository(), &self.images.control)?;
        check_control(&control, &self.module, self.programs)?;
        let filter = served(&self.plan.filter_repository(), &self.images.filter)?;
        check_filter(&filter, &self.module)?;
        Ok(Outcome::new(
            "passed",
            format!(
                "{} platforms of control, each file as it was built",
                control.len()
            ),
        ))
    }

    fn install(&self, step: &Step) -> Result<Outcome> {
        let by_image = self.template(step, &[])?;
        check_resources(&by_image, self.plan, self.images, &self.images.filter)?;
        let by_control = self.template(step, &["gateway.filter.source=control"])?;
        check_resources(&by_control, self.plan, self.images, &self.module)?;
        Ok(Outcome::new(
            "passed",
            "helm template oci://…: control, filter's image and module by the digests that are served",
        ))
    }

    fn template(&self, step: &Step, settings: &[&str]) -> Result<String> {
        let values = self.plan.scratch.join("values.json");
        std::fs::write(&values, VALUES)?;
        let home = self.plan.scratch.join("helm");
        let address = format!("oci://{}", self.at(&self.plan.chart_repository()));
        let mut template = Command::new(self.helm);
        template
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .args(["template", "tokenward", &address, "--plain-http"])
            .args(["--version", self.plan.version, "--namespace", "mcp"])
            .args(["--kube-version", KUBERNETES, "--values"])
            .arg(values);
        for setting in settings {
            template.args(["--set", setting]);
        }
        let run = process::capture(&mut template, step, Duration::from_secs(120))?;
        Ok(run.succeeded("helm template")?.stdout)
    }
}

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

/// The resources name control's index and one thing of the filter by digest, nothing else, and no image by a tag alone.
fn check_resources(resources: &str, plan: &Plan, images: &Images, of_the_filter: &str) -> Result<()> {
    let expected: BTreeSet<String> = [of_the_filter, &images.control]
        .iter()
        .map(|digest| digest.trim_start_matches("sha256:").to_owned())
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
