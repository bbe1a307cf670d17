//! `cargo xtask issuers`: control, the filter and Envoy on other issuers than Dex, of which Keycloak is a real one.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::terminal::Terminal;
use crate::workspace::Workspace;
use crate::{modules, setup, stories};

/// Two stories have a realm of the one Keycloak each.
const AT_ONCE: usize = 2;
/// The stories on fakes, among those of control.
const ON_FAKES: &str = "any_issuer";

/// Flags of `cargo xtask issuers`.
#[derive(Debug, Args)]
pub(crate) struct IssuersFlags {
    /// Play every story and fail if a promise breaks
    #[arg(long, required = true)]
    check: bool,
    /// Only stories whose name contains this; `any_issuer` for those on fakes
    filter: Option<String>,
}

/// Sets up, builds, and plays the stories on Keycloak, where it is, and those on fakes.
pub(crate) fn run(workspace: &Workspace, terminal: &Terminal, flags: &IssuersFlags) -> Result<ExitCode> {
    setup::run(workspace, terminal, &setup::SetupFlags::for_issuers())?;
    let keycloak_is_there = setup::keycloak::is_there(workspace);
    terminal.heading("build");
    modules::filter_module(workspace, terminal)?;
    let targets = ["--bins", "--test", "issuers", "--test", "service"];
    modules::native(workspace, terminal, "control and stories", &targets)?;
    modules::control_with_failpoints(workspace, terminal)?;
    let filter = flags.filter.as_deref();
    let on_fakes = filter.filter(|name| name.contains(ON_FAKES));
    let mut code = ExitCode::SUCCESS;
    if on_fakes.is_none() {
        terminal.heading("stories on Keycloak");
        if !keycloak_is_there {
            terminal.note("left out: Keycloak or Java ≥ 17 is missing, and the setup above states why");
        }
        code = stories::play_all(workspace, "issuers", filter, AT_ONCE, |_| !keycloak_is_there)?;
    }
    if filter.is_none() || on_fakes.is_some() {
        terminal.heading("stories on fakes of Entra ID, Okta, Auth0 and Google");
        let on_fakes = Some(on_fakes.unwrap_or(ON_FAKES));
        let of_fakes = stories::play_all(workspace, "service", on_fakes, AT_ONCE, |_| false)?;
        if of_fakes != ExitCode::SUCCESS {
            code = of_fakes;
        }
    }
    Ok(code)
}
