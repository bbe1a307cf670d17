//! The command line around an authorization server: `keygen`, and what `check` prints about the issuer.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Folder, text, tokenward};

const SERVERS: &str = "servers: [{name: kubernetes, auth: {forwardToken: true}}]\n";

/// A configuration with an authorization server, `more` of its fields, and the key in `signing`.
fn config(folder: &Folder, more: &str) -> String {
    let path = folder.config("");
    let written = std::fs::read_to_string(&path).expect("the configuration");
    let servers = "servers:
- {name: kubernetes, resource: \"https://mcp.example.com/kubernetes\", auth: {forwardToken: true, requiredAudiences: [kube]}}
- {name: internal, auth: {forwardToken: true}}
";
    let with_resource = written.replace(SERVERS, servers);
    assert_ne!(with_resource, written);
    let key = folder.path().join("signing");
    let authorization = format!(
        "authorization:\n  issuer: https://mcp.example.com\n  signing_keys: {{current: {{file: {}}}}}\n{more}",
        key.display()
    );
    folder
        .write("config.yaml", &(with_resource + &authorization))
        .display()
        .to_string()
}

fn keygen(path: &Path) -> std::process::Output {
    tokenward(&["keygen", "--out", &path.display().to_string()])
}

#[test]
fn a_new_key_is_private_is_accepted_and_is_never_replaced() {
    let folder = Folder::new();
    let path = folder.path().join("signing");
    let output = keygen(&path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let stderr = text(&output.stderr);
    let key_id = stderr.trim().strip_prefix("kid ").expect("a kid");
    assert_eq!(key_id.len(), 43, "{stderr}");
    let key = std::fs::read_to_string(&path).expect("the key");
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n") && key.ends_with("-----END PRIVATE KEY-----\n"));
    let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        tokenward(&["check", "--config", &config(&folder, "")])
            .status
            .code(),
        Some(0)
    );

    let again = keygen(&path);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("exists already"), "{again:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("the key"), key);
    let nowhere = keygen(&folder.path().join("none/signing"));
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("cannot write"), "{nowhere:?}");
}

#[test]
fn without_a_file_the_key_goes_to_standard_output_alone() {
    let (one, other) = (tokenward(&["keygen"]), tokenward(&["keygen"]));
    let keys = [text(&one.stdout), text(&other.stdout)];
    assert!(
        keys.iter()
            .all(|key| key.starts_with("-----BEGIN PRIVATE KEY-----\n") && key.lines().count() == 3)
    );
    assert_ne!(keys[0], keys[1]);
    assert_ne!(one.stderr, other.stderr);
    let folder = Folder::new();
    folder.write("signing", &keys[0]);
    let output = tokenward(&["check", "--config", &config(&folder, "")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn check_prints_what_to_register_at_the_issuer_and_which_servers_take_no_tokens() {
    let folder = Folder::new();
    assert_eq!(keygen(&folder.path().join("signing")).status.code(), Some(0));
    let output = tokenward(&["check", "--config", &config(&folder, "")]);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("good (1 issuers, 2 servers)"), "{output:?}");
    for line in [
        "authorization server https://mcp.example.com: users log in at https://dex.example.com, client muster",
        "  staticClients:",
        "  - id: muster",
        "    redirectURIs:",
        "    - https://mcp.example.com/authorize/callback",
        "tokens for the audience kube need, at Dex, trustedPeers: [muster] in the entry of kube",
        "note: server internal has no resource, so it takes no access token of this authorization server",
    ] {
        assert!(
            stdout.lines().any(|printed| printed == line),
            "{line:?} in:\n{stdout}"
        );
    }
}

#[test]
fn a_key_that_is_none_is_a_problem_that_does_not_quote_it() {
    let folder = Folder::new();
    folder.write("signing", "a-password-in-the-wrong-file");
    let output = tokenward(&["check", "--config", &config(&folder, "  replay_window: 10m\n")]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("line 11, column 27: signing_keys.current: not one PEM block"),
        "{stderr}"
    );
    assert!(
        stderr.contains("line 12, column 18: replay_window is longer than 300s"),
        "{stderr}"
    );
    assert!(!stderr.contains("a-password"), "{stderr}");
}
