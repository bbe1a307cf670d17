//! A program in a root folder of its own, as in a container: paths such as `/certs`, and names of Services in `/etc/hosts`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::super::pod::{libraries, namespaces};
use super::super::{Process, ProcessSpec, write_file};

/// Arguments: the root, then the program in it with its arguments.
const ENTER: &str = r#"
set -e
root=$1
shift
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"
exec "$(command -v unshare)" --root="$root" --wd=/ "$@"
"#;

/// The root of one program.
#[derive(Debug)]
pub(super) struct Rooted {
    folder: TempDir,
    program: PathBuf,
}

impl Rooted {
    /// A root with the program and what it is linked with, in which these names are this machine.
    ///
    /// # Errors
    /// When something of it cannot be copied.
    pub(super) fn new(program: &Path, hosts: &[String]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tokenward-root-")?;
        let name = program.file_name().context("no program")?;
        let inside = Path::new("/bin").join(name);
        let rooted = Self {
            folder,
            program: inside.clone(),
        };
        for place in ["dev", "proc", "tmp", "etc", "bin"] {
            fs::create_dir_all(rooted.place(place))?;
        }
        place_program(program, &rooted.place(inside.to_str().context("no text")?))?;
        for library in libraries(program)? {
            rooted.copy(&library)?;
        }
        let hosts = hosts.join(" ");
        rooted.file("/etc/hosts", format!("127.0.0.1 localhost {hosts}\n"))?;
        rooted.file("/etc/nsswitch.conf", "hosts: files\n")?;
        Ok(rooted)
    }

    /// Where a path of the root is outside of it.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// A file of the root.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let place = self.place(path);
        fs::create_dir_all(place.parent().context("no folder")?)?;
        write_file(&self.folder, &place, content)?;
        Ok(())
    }

    /// Starts the program.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start(
        &self,
        arguments: &[String],
        environment: Vec<(String, String)>,
    ) -> anyhow::Result<Process> {
        let name = self
            .program
            .file_name()
            .and_then(|name| name.to_str())
            .context("no name")?;
        let mut words: Vec<String> = namespaces().iter().map(|&word| word.to_owned()).collect();
        words.extend(["sh", "-c", ENTER, name].map(str::to_owned));
        words.push(self.folder.path().display().to_string());
        words.push(self.program.display().to_string());
        words.extend(arguments.iter().cloned());
        let mut spec = ProcessSpec::new(name, "unshare", words);
        spec.environment = environment;
        Process::start(&spec)
    }

    fn copy(&self, file: &Path) -> anyhow::Result<()> {
        let place = self.place(file.to_str().context("no text")?);
        fs::create_dir_all(place.parent().context("no folder")?)?;
        fs::copy(file, place).with_context(|| format!("cannot copy {}", file.display()))?;
        Ok(())
    }
}

/// A link where that is possible: these programs have more than a hundred megabytes.
fn place_program(program: &Path, place: &Path) -> anyhow::Result<()> {
    let program = program.canonicalize()?;
    if fs::hard_link(&program, place).is_err() {
        fs::copy(&program, place).with_context(|| format!("cannot copy {}", program.display()))?;
    }
    Ok(())
}
