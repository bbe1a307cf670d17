//! What the command line itself has: the configuration's place, completions and the man page.

use std::process::Command;

use super::{Folder, text, tokenward};

#[test]
fn the_configuration_can_be_named_by_the_environment_and_the_flag_takes_precedence() {
    let folder = Folder::new();
    let good = folder.config("");
    let check = |variable: &std::path::Path, arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tokenward"))
            .arg("check")
            .args(arguments)
            .env("TOKENWARD_CONFIG", variable)
            .output()
            .expect("tokenward runs")
    };
    let output = check(&good, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = check(&good, &["--config", "/nowhere/at/all.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("/nowhere/at/all.yaml"),
        "{output:?}"
    );
}

#[test]
fn without_flag_and_variable_it_is_where_the_chart_mounts_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_tokenward"))
        .arg("check")
        .env_remove("TOKENWARD_CONFIG")
        .output()
        .expect("tokenward runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("/etc/tokenward/tokenward.yaml"),
        "{output:?}"
    );
}

#[test]
fn completions_are_made_for_each_shell() {
    for (shell, words) in [
        ("bash", "_tokenward"),
        ("zsh", "#compdef tokenward"),
        ("fish", "complete -c tokenward"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let output = tokenward(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let script = text(&output.stdout);
        assert!(script.contains(words), "{shell}: {script}");
        for verb in [
            "serve",
            "check",
            "doctor",
            "reload",
            "import",
            "keygen",
            "client-keys",
        ] {
            assert!(script.contains(verb), "{shell} does not complete {verb}");
        }
    }
    assert_eq!(tokenward(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn the_man_page_is_roff_and_each_command_can_have_one() {
    let output = tokenward(&["man"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = text(&output.stdout);
    assert!(
        page.contains(".TH tokenward 1") && page.contains("serve"),
        "{page}"
    );
    let folder = Folder::new();
    let out = folder.path().join("man");
    let output = tokenward(&["man", "--out", &out.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for name in ["tokenward.1", "tokenward-serve.1", "tokenward-reload.1"] {
        let page = std::fs::read_to_string(out.join(name)).expect(name);
        assert!(page.contains(".TH"), "{name}");
    }
    let serve = std::fs::read_to_string(out.join("tokenward-serve.1")).expect("the page");
    assert!(serve.contains("TOKENWARD_CONFIG"), "{serve}");
}

#[test]
fn serve_writes_one_line_for_one_error() {
    let folder = Folder::new();
    let bad_value = folder.config("margin: soon\n").display().to_string();
    let unreachable = {
        let other = Folder::new();
        let good = std::fs::read_to_string(other.config("")).expect("the configuration");
        let elsewhere = good.replace("tokenward.redb", "no/such/folder/tokenward.redb");
        (other.write("store.yaml", &elsewhere).display().to_string(), other)
    };
    for config in [bad_value.as_str(), unreachable.0.as_str(), "/nowhere/at/all.yaml"] {
        let output = tokenward(&["serve", "--config", config]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        let errors = said.lines().filter(|line| line.contains("ERROR")).count();
        assert_eq!((errors, said.lines().count()), (1, 1), "{said}");
    }
}
