//! `tokenward import`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::{Folder, text, tokenward};

const RESOURCE: &str = "
kind: MCPServer
metadata: {name: remote}
spec:
  auth:
    type: oauth
    requiredAudiences: [kube]
    tokenExchange:
      enabled: true
      dexTokenEndpoint: https://dex.remote.example.com/token
      connectorId: home
      clientCredentialsSecretRef: {name: creds}
";

#[test]
fn what_import_prints_is_a_configurations_servers_once_the_client_is_filled_in() {
    let folder = Folder::new();
    let file = folder.write("mcpservers.yaml", RESOURCE).display().to_string();
    let output = tokenward(&["import", &file]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stderr).contains("line 12: server \"remote\": fill in clientId"));
    let printed = text(&output.stdout);
    let config = folder.config("");
    let before = std::fs::read_to_string(&config).expect("the configuration");
    let without: String = before
        .lines()
        .filter(|line| !line.starts_with("servers:"))
        .fold(String::new(), |text, line| text + line + "\n");
    let secret = format!("{}/client", folder.path().display());
    let servers = printed.replace("/run/secrets/tokenward/remote-client-secret", &secret);
    folder.write("config.yaml", &format!("{without}{servers}"));
    let check = tokenward(&["check", "--config", &config.display().to_string()]);
    assert!(text(&check.stderr).contains("clientId of server \"remote\" is empty"));
    let filled = servers.replace("clientId: \"\"", "clientId: kube");
    folder.write("config.yaml", &format!("{without}{filled}"));
    let check = tokenward(&["check", "--config", &config.display().to_string()]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(text(&check.stdout).contains("good (1 issuers, 1 servers)"));
}

#[test]
fn annotations_are_a_second_document_and_nothing_usable_is_a_failure() {
    let folder = Folder::new();
    let file = folder.write("mcpservers.yaml", RESOURCE).display().to_string();
    let printed = text(&tokenward(&["import", &file, "--annotations"]).stdout);
    let (servers, annotations) = printed.split_once("---\n").expect("two documents");
    assert!(servers.starts_with("servers:\n") && annotations.contains("tokenward-server: \"remote\""));

    let empty = folder
        .write("none.yaml", "kind: List\nitems: []\n")
        .display()
        .to_string();
    let output = tokenward(&["import", &empty]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(text(&output.stderr).contains("no server to protect"));
    assert_eq!(tokenward(&["import", "/nowhere.yaml"]).status.code(), Some(1));
}

#[test]
fn a_single_dash_is_standard_input() {
    let mut import = Command::new(env!("CARGO_BIN_EXE_tokenward"))
        .args(["import", "-", "--annotations"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tokenward starts");
    let mut stdin = import.stdin.take().expect("its standard input");
    stdin.write_all(RESOURCE.as_bytes()).expect("it reads");
    drop(stdin);
    let output = import.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).starts_with("servers:\n- name: \"remote\"\n"));
    assert!(text(&output.stderr).starts_with("standard input: line 12: server \"remote\": fill in clientId"));
}

/// As in a file that was not applied yet: the API server would have refused it.
#[test]
fn an_audience_that_is_no_list_is_not_dropped_in_silence() {
    let folder = Folder::new();
    let resource = RESOURCE.replace("requiredAudiences: [kube]", "requiredAudiences: kube");
    let file = folder.write("mcpservers.yaml", &resource).display().to_string();
    let output = tokenward(&["import", &file]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("line 7: server \"remote\": spec.auth.requiredAudiences must be a list, and is a text"),
        "{said}"
    );
}
