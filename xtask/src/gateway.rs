//! `cargo xtask gateway`: what we give to platform engineers, rendered, validated and run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::terminal::{Outcome, Step, Terminal};
use crate::workspace::Workspace;
use crate::{chart_values, modules, process, setup, stories};

/// Helm shows resources as this Kubernetes would have them.
const KUBERNETES: &str = "1.32.0";
/// Values of an aggregator's installation, and of one at which MCP clients log in.
const VALUES: &str = "values.yaml";
const LOGIN_VALUES: &str = "login-values.yaml";
/// The example resources, and what of the chart makes them.
const EXAMPLES: [(&str, &str, &[&str]); 3] = [
    ("with-patches.yaml", VALUES, &[]),
    (
        "without-patches.yaml",
        VALUES,
        &["gateway.controlCluster=route", "gateway.failReload=false"],
    ),
    ("login.yaml", LOGIN_VALUES, &[]),
];

/// Flags of `cargo xtask gateway`.
#[derive(Debug, Args)]
#[group(required = true)]
pub(crate) struct GatewayFlags {
    /// Lint, render and validate the chart and its examples, and run the stories on a real Envoy Gateway
    #[arg(long)]
    check: bool,
    /// Render the examples in envoy/gateway and the table of the chart's README again
    #[arg(long)]
    write: bool,
}

/// Sets up, then writes or checks.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &GatewayFlags) -> Result<ExitCode> {
    let parts = setup::SetupFlags::default().with_dex(false).with_envoy_gateway();
    setup::run(workspace, terminal, &parts)?;
    terminal.heading("gateway");
    let kit = Kit::find(workspace);
    if flags.write {
        terminal.step("chart README", |_| chart_values::write(workspace))?;
        let kit = kit.context("Helm is not built: see the setup steps above")?;
        return terminal
            .step("examples", |_| kit.write_examples(workspace))
            .map(|()| ExitCode::SUCCESS);
    }
    modules::filter_module(workspace, terminal)?;
    terminal.step("envoy/local", |step| validate_local(workspace, step))?;
    let Some(kit) = kit else {
        for what in ["the chart", "the resources", "the stories on Envoy Gateway"] {
            terminal.note(&format!(
                "left out: {what}: no Go ≥ 1.26 to build Helm and Envoy Gateway"
            ));
        }
        return Ok(ExitCode::SUCCESS);
    };
    terminal.step("chart", |_| kit.lint(workspace))?;
    terminal.step("examples", |_| kit.check_examples(workspace))?;
    modules::native(
        workspace,
        terminal,
        "control and tests",
        &["--bins", "--test", "installed"],
    )?;
    terminal.heading("stories on Envoy Gateway");
    let mut suite = workspace.cargo();
    suite
        .args(["test"])
        .args(modules::package_flags())
        // One Envoy Gateway at a time has its ports; what waits for them only takes memory.
        .args([
            "--test",
            "installed",
            "--",
            "--test-threads",
            "2",
            "--show-output",
        ]);
    let run = process::echo(&mut suite)?;
    let without_prometheus = !setup::prometheus_is_there(workspace);
    stories::none_left_out(&run.stdout, |line| {
        without_prometheus && line.contains("promtool")
    })?;
    Ok(if run.status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Helm and the validator.
struct Kit {
    helm: PathBuf,
    validate: PathBuf,
}

impl Kit {
    fn find(workspace: &Workspace) -> Option<Self> {
        let tool = |variable: &str, name: &str| {
            std::env::var_os(variable)
                .filter(|given| !given.is_empty())
                .map_or_else(|| workspace.tools().join(name), PathBuf::from)
        };
        let kit = Self {
            helm: tool("HELM_BIN", "helm"),
            validate: tool("KUBERNETES_VALIDATE_BIN", "kubernetes-validate"),
        };
        (kit.helm.is_file() && kit.validate.is_file()).then_some(kit)
    }

    fn lint(&self, workspace: &Workspace) -> Result<Outcome> {
        for values in [VALUES, LOGIN_VALUES] {
            let mut lint = Command::new(&self.helm);
            lint.args(["lint", "--strict", "--kube-version", KUBERNETES])
                .arg(chart(workspace))
                .arg("--values")
                .arg(folder(workspace).join(values));
            process::ask(&mut lint)?.succeeded("helm lint")?;
        }
        Ok(Outcome::new("good", "helm lint --strict"))
    }

    fn render(&self, workspace: &Workspace, values: &str, settings: &[&str]) -> Result<String> {
        let mut render = Command::new(&self.helm);
        render
            .args(["template", "tokenward"])
            .arg(chart(workspace))
            // The pod of `helm test` is no part of an installation.
            .args([
                "--namespace",
                "mcp",
                "--kube-version",
                KUBERNETES,
                "--skip-tests",
                "--values",
            ])
            .arg(folder(workspace).join(values));
        for setting in settings {
            render.args(["--set", setting]);
        }
        let resources = process::ask(&mut render)?.succeeded("helm template")?.stdout;
        Ok(format!(
            "# Rendered from envoy/chart and {values} by `cargo xtask gateway --write`; namespace mcp.\n{resources}"
        ))
    }

    fn write_examples(&self, workspace: &Workspace) -> Result<Outcome> {
        for (name, values, settings) in EXAMPLES {
            let path = folder(workspace).join(name);
            std::fs::write(&path, self.render(workspace, values, settings)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Outcome::new("written", workspace.shown(&folder(workspace))))
    }

    /// Equal to what the chart renders, and valid, whatever else lies there.
    fn check_examples(&self, workspace: &Workspace) -> Result<Outcome> {
        for (name, values, settings) in EXAMPLES {
            let path = folder(workspace).join(name);
            let stored = std::fs::read_to_string(&path).unwrap_or_default();
            ensure!(
                stored == self.render(workspace, values, settings)?,
                "{} is not what the chart renders; run `cargo xtask gateway --write`",
                workspace.shown(&path)
            );
        }
        let mut validate = Command::new(&self.validate);
        for entry in std::fs::read_dir(folder(workspace))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml")
                && path
                    .file_name()
                    .is_some_and(|name| name != VALUES && name != LOGIN_VALUES)
            {
                validate.arg(path);
            }
        }
        let counts = process::ask(&mut validate)?.succeeded("validation")?.stdout;
        let resources: usize = counts
            .lines()
            .filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok())
            .sum();
        ensure!(resources > 0, "nothing was validated");
        Ok(Outcome::new(
            "valid",
            format!("{resources} resources of {} kinds", counts.lines().count()),
        ))
    }
}

fn chart(workspace: &Workspace) -> PathBuf {
    workspace.root().join("envoy/chart")
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("envoy/gateway")
}

/// `envoy --mode validate` on envoy/local with values in place of its names.
fn validate_local(workspace: &Workspace, step: &Step) -> Result<Outcome> {
    let template = std::fs::read_to_string(workspace.root().join("envoy/local/envoy.yaml"))?;
    let scratch = workspace.target().join("envoy-local");
    std::fs::create_dir_all(&scratch)?;
    let shown = |path: &Path| format!("{:?}", path.display().to_string());
    let config = [
        ("${LISTENER_PORT}", "0".to_owned()),
        ("${ROUTES}", "[]".to_owned()),
        ("${FILTER_CONFIGURATION}", "\"{}\"".to_owned()),
        ("${FILTER_MODULE}", shown(&modules::module_path(workspace))),
        ("${CLUSTERS}", "[]".to_owned()),
    ]
    .into_iter()
    .fold(template, |text, (name, value)| text.replace(name, &value));
    if let Some(line) = config
        .lines()
        .find(|line| line.contains("${") && !line.trim_start().starts_with('#'))
    {
        bail!("a name without a value: {line}");
    }
    let file = scratch.join("envoy.yaml");
    std::fs::write(&file, config)?;
    let envoy = std::env::var_os("ENVOY_BIN").map_or_else(|| workspace.tools().join("envoy"), PathBuf::from);
    let mut validate = Command::new(envoy);
    validate.args([
        "--mode",
        "validate",
        "--disable-hot-restart",
        "-l",
        "warning",
        "-c",
    ]);
    process::capture(validate.arg(&file), step, Duration::from_secs(120))?
        .succeeded("envoy --mode validate")?;
    Ok(Outcome::new("valid", "envoy/local/envoy.yaml"))
}
