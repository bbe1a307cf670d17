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
fn the_output_of_import_is_a_configurations_servers_once_the_client_is_filled_in() {
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
fn annotations_are_a_second_document_and_no_usable_server_is_a_failure() {
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

/// Clients and secrets stay where the resources have them: nothing is to be filled in.
#[test]
fn values_are_in_the_charts_shape_and_name_the_secrets_to_copy() {
    let folder = Folder::new();
    let more = RESOURCE
        .replace("name: remote", "name: second, namespace: muster")
        .replace(
            "{name: creds}",
            "{name: creds, clientIdKey: id, clientSecretKey: secret}",
        );
    let without = RESOURCE
        .replace("name: remote", "name: third")
        .replace("      clientCredentialsSecretRef: {name: creds}\n", "");
    let resources = format!("{RESOURCE}---{more}---{without}");
    let file = folder.write("mcpservers.yaml", &resources).display().to_string();
    let output = tokenward(&["import", &file, "--values"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    assert!(printed.starts_with(
        r#"servers:
- name: "remote"
  auth:
    type: oauth
    forwardToken: false
    requiredAudiences: ["kube"]
    tokenExchange:
      enabled: true
      dexTokenEndpoint: "https://dex.remote.example.com/token"
      connectorId: "home"
      clientCredentialsSecretRef: {name: "creds", clientIdKey: "client-id", clientSecretKey: "client-secret"}
"#
    ));
    assert!(printed.contains(
        r#"clientCredentialsSecretRef: {name: "creds", clientIdKey: "id", clientSecretKey: "secret"}"#
    ));
    assert_eq!(printed.matches("to be filled in").count(), 1, "{printed}");
    assert!(!printed.contains("clientCredentials:"), "{printed}");
    let notes = text(&output.stderr);
    assert_eq!(notes.lines().count(), 2, "{notes}");
    assert!(
        notes.contains("the release's namespace needs a copy of the Secret muster/creds, for second"),
        "{notes}"
    );
    assert!(
        notes.contains(r#"server "third": its resource names no Secret"#),
        "{notes}"
    );
}

/// As in a file that was not applied so far: the API server would have rejected it.
#[test]
fn an_audience_that_is_not_a_list_is_not_silently_dropped() {
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

#[test]
fn the_exchange_endpoint_is_printed_as_patches_that_change_two_fields() {
    const MORE: &str = "---
apiVersion: muster.giantswarm.io/v1beta1
kind: MCPServer
metadata: {name: grizzly, namespace: muster}
spec:
  auth:
    type: oauth
    tokenExchange:
      enabled: true
      dexTokenEndpoint: https://proxy.example.com/grizzly
      expectedIssuer: https://dex.grizzly.example.com
      connectorId: home
---
kind: MCPServer
metadata: {name: unclear}
spec:
  auth:
    type: oauth
    tokenExchange: {enabled: true, dexTokenEndpoint: https://proxy.example.com/unclear, connectorId: home}
---
kind: MCPServer
metadata: {name: done}
spec:
  auth:
    type: oauth
    tokenExchange:
      enabled: true
      dexTokenEndpoint: https://tokenward.example.com/exchange/done/token
      connectorId: home
---
kind: MCPServer
metadata: {name: local}
spec: {auth: {type: oauth, forwardToken: true}}
";
    let folder = Folder::new();
    let resources = format!("{RESOURCE}{MORE}");
    let file = folder.write("mcpservers.yaml", &resources).display().to_string();
    let run = |url: &str| tokenward(&["import", &file, "--exchange-endpoint", url]);
    let output = run("https://tokenward.example.com/");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    let documents: Vec<&str> = printed.split("---\n").collect();
    assert_eq!(documents.len(), 3, "{printed}");
    assert!(documents[0].lines().all(|line| line.starts_with('#')));
    assert!(documents[0].contains("kubectl apply --server-side"));
    assert_eq!(
        documents[1],
        r#"apiVersion: "muster.giantswarm.io/v1alpha1"
kind: MCPServer
metadata: {name: "remote"}
spec:
  auth:
    tokenExchange:
      dexTokenEndpoint: "https://tokenward.example.com/exchange/remote/token"
      expectedIssuer: "https://dex.remote.example.com"
"#
    );
    assert!(documents[2].contains(r#"apiVersion: "muster.giantswarm.io/v1beta1""#));
    assert!(documents[2].contains(r#"metadata: {name: "grizzly", namespace: "muster"}"#));
    assert!(documents[2].contains(r#"expectedIssuer: "https://dex.grizzly.example.com""#));
    let notes = text(&output.stderr);
    assert!(
        notes.contains(r#"server "unclear": its issuer does not follow"#),
        "{notes}"
    );
    assert!(notes.contains(r#"server "done": its dexTokenEndpoint is control's already"#));
    for refused in [
        "http://tokenward.example.com",
        "https://tokenward.example.com/?a=b",
        "x",
    ] {
        assert_eq!(run(refused).status.code(), Some(2), "{refused}");
    }
}

/// After the patches are applied, the resources name control; its own configuration must not.
#[test]
fn a_resource_that_leads_to_control_is_imported_with_the_remote_issuers_own_endpoint() {
    let folder = Folder::new();
    let patched = RESOURCE.replace(
        "dexTokenEndpoint: https://dex.remote.example.com/token",
        "dexTokenEndpoint: https://tokenward.example.com/exchange/remote/token\n      expectedIssuer: https://dex.remote.example.com",
    );
    let file = folder.write("mcpservers.yaml", &patched).display().to_string();
    let output = tokenward(&["import", &file]);
    let printed = text(&output.stdout);
    assert!(
        printed.contains("dexTokenEndpoint: \"https://dex.remote.example.com/token\""),
        "{printed}"
    );
    assert!(text(&output.stderr).contains("dexTokenEndpoint is control's exchange endpoint"));
    let own = printed.replace(
        "https://dex.remote.example.com/token",
        "https://tokenward.example.com/exchange/remote/token",
    );
    let config = folder.config("");
    let before = std::fs::read_to_string(&config).expect("the configuration");
    let without: String = before
        .lines()
        .filter(|line| !line.starts_with("servers:"))
        .fold(String::new(), |text, line| text + line + "\n");
    folder.write("config.yaml", &format!("{without}{own}"));
    let check = tokenward(&["check", "--config", &config.display().to_string()]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(
        text(&check.stderr).contains("is control's own exchange endpoint"),
        "{check:?}"
    );
}
