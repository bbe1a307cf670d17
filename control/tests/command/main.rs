//! The command line: `check`, `doctor`, `import`, `--version`, `serve` with its address file and its graceful shutdown.

mod agreement;
mod authorization;
mod certificates;
mod doctor;
mod import;
mod issuers;
mod surface;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with the secrets that [`Folder::config`] names.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempDir::with_prefix("tokenward-command-").expect("a folder"));
        folder.write("filter", "filter-credential");
        folder.write("aggregator", "aggregator-credential");
        folder.write("client", "client-secret");
        folder.write("key", "q83vEjRWeJASNFZ4kKvN7xI0VniQEjRWeJCrze8SNFY=");
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn config(&self, more: &str) -> PathBuf {
        let folder = self.path().display();
        self.write(
            "config.yaml",
            &format!(
                "listen: \"127.0.0.1:0\"
credentials: {{filter: {{file: {folder}/filter}}, aggregator: {{file: {folder}/aggregator}}}}
store: {{embedded: {{path: {folder}/tokenward.redb}}}}
sealing: {{current: {{id: k1, key: {{file: {folder}/key}}}}}}
issuers: [{{issuer: \"https://dex.example.com\", client_id: muster, client_secret: {{file: {folder}/client}}}}]
servers: [{{name: kubernetes, auth: {{forwardToken: true}}}}]
{more}"
            ),
        )
    }
}

fn tokenward(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tokenward"))
        .args(arguments)
        .output()
        .expect("tokenward runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn version_is_printed() {
    let output = tokenward(&["--version"]);
    assert!(output.status.success());
    assert_eq!(
        text(&output.stdout).trim(),
        format!("tokenward {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn check_accepts_a_valid_configuration_and_prints_the_problems_of_an_invalid_one() {
    let folder = Folder::new();
    let good = folder.config("");
    let output = tokenward(&["check", "--config", &good.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("good (1 issuers, 1 servers)"));

    let bad = folder.config("margin: soon\ncaller_deadline: 0s\n");
    let output = tokenward(&["check", "--config", &bad.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("line 7, column 9: margin: bad duration"),
        "{stderr}"
    );
    assert!(
        stderr.contains("line 8, column 18: caller_deadline must not be zero"),
        "{stderr}"
    );
    assert!(
        !stderr.contains("credential\n") && !stderr.contains("client-secret"),
        "{stderr}"
    );

    let output = tokenward(&["check", "--config", "/nowhere/at/all.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot be read"));
}

#[test]
fn serve_does_not_start_with_an_invalid_configuration() {
    let folder = Folder::new();
    let bad = folder.config("margin: soon\n");
    let output = tokenward(&["serve", "--config", &bad.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("line 7, column 9"));
}

/// Kills the child if the test did not end it.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serve_reports_its_address_answers_and_shuts_down_gracefully_on_sigterm() {
    let folder = Folder::new();
    let config = folder.config("").display().to_string();
    let address_file = folder.path().join("address");
    let child = Command::new(env!("CARGO_BIN_EXE_tokenward"))
        .args(["serve", "--config", &config, "--address-file"])
        .arg(&address_file)
        .stderr(Stdio::piped())
        .spawn()
        .expect("tokenward starts");
    let mut serving = Serving(child);
    let mut lines = BufReader::new(serving.0.stderr.take().expect("stderr")).lines();
    let listening = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains("\"listening\""))
        .expect("a line `listening`");
    let line: serde_json::Value = serde_json::from_str(&listening).expect("log lines are JSON");
    let address = line["address"].as_str().expect("an address").to_owned();
    assert_eq!(
        std::fs::read_to_string(&address_file).expect("the address file"),
        address
    );

    let mut connection = TcpStream::connect(&address).expect("it listens");
    connection
        .write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.to_lowercase().contains("x-tokenward-control: "),
        "{answer}"
    );

    let pid = serving.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill")
            .success()
    );
    assert_eq!(serving.0.wait().expect("it ends").code(), Some(0));
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(rest.iter().any(|line| line.contains("\"stopped\"")), "{rest:?}");
}
