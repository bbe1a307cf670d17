//! The script: every command of it that an API server can answer, by the real kubectl and Helm.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokenward_harness::parts::cluster::{ApiServer, KubeClient, Named, install_crds};
use tokenward_harness::parts::tools;

use super::{file, text};

/// In place of a container engine: a module of three bytes, and a key.
const DOCKER: &str = r#"#!/bin/sh
case "$1" in
  create) echo made ;;
  cp) folder=$(mktemp -d) && printf abc > "$folder/tokenward_filter.wasm" && tar -cf - -C "$folder" tokenward_filter.wasm && rm -r "$folder" ;;
  run) echo "a key" ;;
esac
"#;
/// SHA-256 of that module (FIPS 180-4, the example of three bytes).
const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// There is no network, no controller makes a Deployment available, and no Gateway is programmed.
const KUBECTL: &str = r#"#!/bin/sh
for word in "$@"; do
  case "$word" in
    https://*|rollout|wait|exec) exit 0 ;;
  esac
done
exec KUBECTL "$@"
"#;

fn program(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The first program of that name on `PATH`.
fn on_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn commands(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .map(str::to_owned)
        .collect()
}

fn dry_run(verb: &str) -> anyhow::Result<Vec<String>> {
    let run = Command::new(file("quickstart.sh"))
        .args(["--dry-run", verb])
        .output()?;
    ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    Ok(commands(&run.stdout))
}

#[test]
fn a_step_that_fails_ends_the_script() -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-quickstart-")?;
    for name in ["kind", "docker", "kubectl", "helm", "curl", "openssl"] {
        program(folder.path(), name, "#!/bin/sh\nexit 3\n")?;
    }
    for verb in ["up", "all"] {
        let failed = run(folder.path(), verb)?;
        assert!(!failed.status.success());
        assert_eq!(commands(&failed.stdout).len(), 1, "{verb}");
    }
    Ok(())
}

/// The manifests that the script applies: all in the folder, but for the cluster's own configuration and the chart's values.
#[test]
fn the_script_uses_every_file_of_the_folder() -> anyhow::Result<()> {
    let folder = file("");
    let all = dry_run("all")?.join("\n");
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "quickstart.sh" && !name.starts_with('.') {
            ensure!(all.contains(&format!("envoy/quickstart/{name}")), "{name}");
            names.insert(name);
        }
    }
    ensure!(names.len() >= 8, "{names:?}");
    Ok(())
}

/// With strict validation, which the script leaves out: a misspelt field is an error.
async fn accepts_every_manifest(client: &KubeClient) -> anyhow::Result<()> {
    let mut count = 0;
    for name in ["gateway", "valkey", "dex", "server", "mcpserver"] {
        let stream = text(&format!("{name}.yaml"))?;
        let applied = client.apply_all(&stream, "mcp").await;
        count += applied.with_context(|| name.to_owned())?;
    }
    assert_eq!(count, 12);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_accepts_every_manifest_and_what_the_script_does() -> anyhow::Result<()> {
    let server = ApiServer::start().await?;
    let client = server.client()?;
    install_crds(&client).await?;
    let (Some(kubectl), Some(helm)) = (on_path("kubectl"), tools::helm()?) else {
        tokenward_harness::aloud!("left out: the script itself: no kubectl on PATH, or no Helm");
        client.create_namespace("mcp").await?;
        return accepts_every_manifest(&client).await;
    };
    client.create_namespace("envoy-gateway-system").await?;
    let folder = TempDir::with_prefix("tokenward-quickstart-")?;
    let mut kubeconfig = server.kubeconfig();
    kubeconfig["contexts"][0]["name"] = "kind-tokenward".into();
    kubeconfig["current-context"] = "none".into();
    std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string())?;
    let kubectl = kubectl.to_str().context("not UTF-8")?;
    program(folder.path(), "docker", DOCKER)?;
    program(folder.path(), "kind", "#!/bin/sh\n")?;
    program(folder.path(), "kubectl", &KUBECTL.replace("KUBECTL", kubectl))?;
    symlink(helm, folder.path().join("helm"))?;
    let up = || run(folder.path(), "up");

    let first = up()?;
    ensure!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    assert_eq!(commands(&first.stdout), dry_run("up")?);
    // What Helm says after the first step, and after the second.
    let printed = String::from_utf8_lossy(&first.stdout);
    assert_eq!(
        printed.matches("No filter yet: gateway.enabled is false").count(),
        1
    );
    let described = "kubectl describe mcpservers.muster.giantswarm.io -n mcp";
    assert_eq!(printed.matches(described).count(), 2, "{printed}");
    let named = "The Gateway mcp/mcp must name the EnvoyProxy tokenward";
    assert_eq!(printed.matches(named).count(), 1, "{printed}");
    let secrets = secrets(&client).await?;
    assert_eq!(secrets.len(), 6, "{secrets:?}");
    let policy = Named {
        api: "gateway.envoyproxy.io/v1alpha1",
        kind: "EnvoyExtensionPolicy",
        namespace: "mcp",
        name: "tokenward",
    };
    let policy = client.get(policy).await?.context("no policy")?;
    assert_eq!(policy["spec"]["wasm"][0]["code"]["http"]["sha256"], DIGEST);

    let second = up()?;
    ensure!(
        second.status.success(),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    assert_eq!(self::secrets(&client).await?, secrets, "made once");
    accepts_every_manifest(&client).await
}

fn run(folder: &Path, verb: &str) -> anyhow::Result<Output> {
    let path = std::env::var("PATH")?;
    Ok(Command::new(file("quickstart.sh"))
        .arg(verb)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("KUBECONFIG", folder.join("kubeconfig"))
        // Where kubectl and Helm remember things.
        .env("HOME", folder)
        .output()?)
}

/// The Secrets of the quickstart with their versions; Helm's own records change with each upgrade.
async fn secrets(client: &KubeClient) -> anyhow::Result<BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = client.list("v1", "Secret", "").await?;
    Ok(all
        .iter()
        .filter(|secret| secret["type"] == "Opaque")
        .map(|secret| {
            let metadata = &secret["metadata"];
            [
                &metadata["namespace"],
                &metadata["name"],
                &metadata["resourceVersion"],
            ]
            .map(text)
            .join("/")
        })
        .collect())
}
