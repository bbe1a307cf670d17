//! The control service as its Deployment runs it: the image's files and nothing else, an unprivileged user, a
//! read-only root.
//!
//! No container engine is needed: a mount namespace makes what one would make. What the image holds is read from the
//! Dockerfile, what runs in it and with which volumes from the rendered resources.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::process::LOOK_AGAIN;
use super::{Process, ProcessSpec, Rendered, tools};
use crate::issuer::jose::http_client;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// Makes the root read-only but for the volumes that are mounted writable, and becomes the container's program.
/// Arguments: the root, uid and gid (empty: as they are), the image's PATH, how many writable volumes follow, then these,
/// then the program with its arguments.
const ENTER: &str = r#"
set -e
root=$1 user=$2 group=$3 path=$4 writable=$5
shift 5
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
while [ "$writable" -gt 0 ]; do
    mount --bind "$1" "$root/$2"
    shift 2
    writable=$((writable - 1))
done
unshare=$(command -v unshare)
exec env -i PATH="$path" setpriv --no-new-privs "$unshare" --root="$root" --wd=/ \
    ${group:+--setgid "$group"} ${user:+--setuid "$user"} "$@"
"#;

/// Secrets of the namespace: name → key → content.
pub type Secrets = BTreeMap<String, BTreeMap<String, String>>;

/// One running pod of the Deployment.
#[derive(Debug)]
pub struct Pod {
    process: Process,
    address: SocketAddr,
    container: Value,
    grace: Duration,
    folder: TempDir,
}

/// The user and group that the container runs as.
#[derive(Debug, Clone, Copy)]
struct RunAs {
    uid: u32,
    gid: u32,
}

impl Pod {
    /// Whether this machine lets a test make a mount namespace.
    pub fn can_run() -> bool {
        let mut unshare = Command::new("unshare");
        unshare.args(namespaces()).arg("true");
        unshare.output().is_ok_and(|run| run.status.success())
    }

    /// Whether pods run as the user that the Deployment names; only root can become another user.
    pub fn runs_unprivileged() -> bool {
        is_root()
    }

    /// Runs the Deployment's one container; `address` is where the rendered configuration lets it listen.
    ///
    /// # Errors
    /// When the resources name a Secret, ConfigMap or kind of volume that is not there, or the program does not start.
    pub fn start(rendered: &[Rendered], secrets: &Secrets, address: SocketAddr) -> anyhow::Result<Self> {
        let deployment = read(rendered, "Deployment", None)?;
        let spec = &deployment["spec"]["template"]["spec"];
        let container = spec["containers"][0].clone();
        let run_as = RunAs::of(&spec["securityContext"])?;
        // The container's user must be able to enter it; by default only its owner can.
        let folder = tempfile::Builder::new()
            .prefix("tokenward-pod-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let root = folder.path().join("root");
        let image = Image::unpack(&root)?;
        ensure!(
            image.user == format!("{}:{}", run_as.uid, run_as.gid),
            "the image's user is {}",
            image.user
        );
        ensure!(
            container["securityContext"]["readOnlyRootFilesystem"] == true,
            "the root is writable"
        );
        for given in ["dev", "proc"] {
            fs::create_dir_all(root.join(given))?;
        }
        let mut writable = Vec::new();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let at = mount["mountPath"].as_str().context("a mount without a path")?;
            let at = at.trim_start_matches('/').to_owned();
            let inside = root.join(&at);
            fs::create_dir_all(&inside)?;
            let volumes = spec["volumes"].as_array().into_iter().flatten();
            let volume = volumes
                .into_iter()
                .find(|volume| volume["name"] == mount["name"])
                .with_context(|| format!("no volume {}", mount["name"]))?;
            if let Some(files) = files_of(volume, rendered, secrets)? {
                for (name, content) in files {
                    run_as.write_readable(&inside.join(name), &content)?;
                }
            } else {
                let outside = folder.path().join(format!("volume-{}", writable.len()));
                fs::create_dir(&outside)?;
                run_as.own(&outside, 0o2770)?;
                writable.push((outside, at));
            }
        }
        let command = run_as.command(&root, &image, &container, &writable)?;
        let grace = spec["terminationGracePeriodSeconds"]
            .as_u64()
            .context("no grace period")?;
        Ok(Self {
            process: Process::start(&command)?,
            address,
            container,
            grace: Duration::from_secs(grace),
            folder,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until the container's probe (`readinessProbe`, `livenessProbe`) is satisfied, as the kubelet polls it.
    ///
    /// # Errors
    /// When it is not within half a minute, or the container ended.
    pub async fn wait_for_probe(&mut self, probe: &str) -> anyhow::Result<()> {
        let get = &self.container[probe]["httpGet"];
        ensure!(get["port"] == "http", "the probe polls another port: {get}");
        let url = format!("{}{}", self.url(), get["path"].as_str().context("no path")?);
        let limit = Instant::now() + READY_WITHIN;
        while !http_client()
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            self.process.ensure_running()?;
            if Instant::now() > limit {
                bail!(
                    "{probe} fails for {READY_WITHIN:?}:\n{}",
                    self.process.log().tail(30)
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// One field of the process's `/proc/PID/status`: `Uid`, `CapEff`, `NoNewPrivs`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn status(&self, field: &str) -> anyhow::Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("no {field}"))?.trim().to_owned())
    }

    /// What the writable volumes hold.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn written(&self) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.folder.path())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("volume-") {
                for file in fs::read_dir(entry.path())? {
                    names.push(file?.file_name().to_string_lossy().into_owned());
                }
            }
        }
        Ok(names)
    }

    /// Ends it as the kubelet does: SIGTERM, and the Deployment's grace period.
    ///
    /// # Errors
    /// When it has not exited by then, or exited with a failure.
    pub async fn terminate(mut self) -> anyhow::Result<()> {
        let status = self.process.terminate(self.grace).await?;
        ensure!(status.success(), "{status}:\n{}", self.process.log().tail(30));
        Ok(())
    }
}

impl RunAs {
    fn of(security: &Value) -> anyhow::Result<Self> {
        ensure!(security["runAsNonRoot"] == true, "the pod may run as root");
        ensure!(
            security["fsGroup"] == security["runAsGroup"],
            "files are another group's"
        );
        let id = |field: &str| u32::try_from(security[field].as_u64()?).ok();
        Ok(Self {
            uid: id("runAsUser").context("no runAsUser")?,
            gid: id("runAsGroup").context("no runAsGroup")?,
        })
    }

    /// As the kubelet does for a Secret with an `fsGroup`: owned by root, readable by the group, by no other user.
    fn write_readable(self, path: &Path, content: &str) -> anyhow::Result<()> {
        fs::write(path, content)?;
        self.own(path, 0o440)
    }

    fn own(self, path: &Path, mode: u32) -> anyhow::Result<()> {
        if is_root() {
            chown(path, Some(0), Some(self.gid))?;
        }
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
    }

    fn command(
        self,
        root: &Path,
        image: &Image,
        container: &Value,
        writable: &[(PathBuf, String)],
    ) -> anyhow::Result<ProcessSpec> {
        let id = |id: u32| if is_root() { id.to_string() } else { String::new() };
        let mut words: Vec<OsString> = namespaces().iter().map(Into::into).collect();
        words.extend(["sh".into(), "-c".into(), ENTER.into(), "pod".into(), root.into()]);
        words.extend([
            id(self.uid).into(),
            id(self.gid).into(),
            image.path.clone().into(),
        ]);
        words.push(writable.len().to_string().into());
        for (outside, at) in writable {
            words.extend([outside.into(), at.into()]);
        }
        words.push(image.entrypoint.clone().into());
        for argument in container["args"].as_array().into_iter().flatten() {
            words.push(argument.as_str().context("an argument that is no text")?.into());
        }
        Ok(ProcessSpec::new("pod", "unshare", words))
    }
}

/// The instructions of the last stage of the Dockerfile.
struct Image {
    path: String,
    user: String,
    entrypoint: String,
}

impl Image {
    /// Puts the image's files below `root`. The image's binary is linked statically; the one here is not, so what it is
    /// linked with comes along.
    fn unpack(root: &Path) -> anyhow::Result<Self> {
        let dockerfile = fs::read_to_string(tools::workspace().join("Dockerfile"))?;
        let (_, last) = dockerfile
            .rsplit_once("FROM scratch\n")
            .context("the image has a base")?;
        let instruction = |name: &str| {
            let value = last
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.with_context(|| format!("the Dockerfile has no {name}"))
        };
        for line in last.lines().filter(|line| line.starts_with("COPY ")) {
            let [_, _, from, to] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                bail!("not understood: {line}");
            };
            let name = from.rsplit('/').next().unwrap_or_default();
            let here = match name {
                "tokenward" => tools::tokenward()?,
                "tokenward_filter.wasm" => tools::filter_module()?,
                "ca-certificates.crt" => PathBuf::from(from),
                _ => bail!("no source is known for {name}"),
            };
            copy(&here, &root.join(to.trim_start_matches('/')))?;
        }
        for library in libraries(&tools::tokenward()?)? {
            copy(&library, &root.join(library.strip_prefix("/")?))?;
        }
        let entrypoint: Vec<String> = serde_json::from_str(instruction("ENTRYPOINT")?)?;
        let [entrypoint] = <[String; 1]>::try_from(entrypoint).ok().context("one word")?;
        Ok(Self {
            path: instruction("ENV")?
                .strip_prefix("PATH=")
                .context("no PATH")?
                .to_owned(),
            user: instruction("USER")?.to_owned(),
            entrypoint,
        })
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.parent().context("no folder")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

pub(super) fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot run ldd")?;
    let listed = String::from_utf8(listed.stdout)?;
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

/// The files of a volume; `None` for one that the pod may write to.
fn files_of(
    volume: &Value,
    rendered: &[Rendered],
    secrets: &Secrets,
) -> anyhow::Result<Option<BTreeMap<String, String>>> {
    if let Some(name) = volume["configMap"]["name"].as_str() {
        let map = read(rendered, "ConfigMap", Some(name))?;
        return Ok(Some(serde_json::from_value(map["data"].clone())?));
    }
    if let Some(name) = volume["secret"]["secretName"].as_str() {
        let secret = secrets.get(name).with_context(|| format!("no Secret {name}"))?;
        return Ok(Some(secret.clone()));
    }
    ensure!(
        volume["persistentVolumeClaim"].is_object(),
        "an unknown kind of volume: {volume}"
    );
    Ok(None)
}

fn read(rendered: &[Rendered], kind: &str, name: Option<&str>) -> anyhow::Result<Value> {
    for resource in rendered.iter().filter(|resource| resource.kind == kind) {
        let value: Value = serde_saphyr::from_str(&resource.yaml)?;
        if name.is_none_or(|name| value["metadata"]["name"] == name) {
            return Ok(value);
        }
    }
    bail!("no {kind} {}", name.unwrap_or_default())
}

/// A user other than root gets a user namespace too, in which it may mount.
pub(super) fn namespaces() -> &'static [&'static str] {
    if is_root() {
        &["--mount", "--propagation", "private"]
    } else {
        &["--user", "--map-root-user", "--mount", "--propagation", "private"]
    }
}

fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        uids.is_some_and(|uids| uids.split_whitespace().nth(1) == Some("0"))
    })
}
