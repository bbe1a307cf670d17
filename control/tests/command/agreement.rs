//! `check` says what `serve` will do, on the real program: both refuse a configuration with the same words, or `check` calls
//! it good and `serve` listens.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Command, Stdio};

use super::{Folder, Serving, text, tokenward};

/// What `serve` does with a configuration.
#[derive(Debug)]
enum Served {
    Listens,
    /// Its whole log.
    Refuses(String),
}

fn served(config: &str) -> Served {
    let child = Command::new(env!("CARGO_BIN_EXE_tokenward"))
        .args(["serve", "--log", "text", "--config", config])
        .stderr(Stdio::piped())
        .spawn()
        .expect("tokenward starts");
    let mut serving = Serving(child);
    let mut log = BufReader::new(serving.0.stderr.take().expect("stderr"));
    let mut said = String::new();
    while log.read_line(&mut said).expect("its log") > 0 {
        if said.contains(" listening ") {
            return Served::Listens;
        }
    }
    log.read_to_string(&mut said).expect("its log");
    assert_eq!(serving.0.wait().expect("it ends").code(), Some(1), "{said}");
    Served::Refuses(said)
}

/// The faults that `check` names, without the file.
fn checked(config: &str) -> Option<Vec<String>> {
    let output = tokenward(&["check", "--config", config]);
    let said = text(&output.stderr);
    match output.status.code() {
        Some(0) => {
            assert!(text(&output.stdout).contains("good"), "{output:?}");
            assert!(said.is_empty(), "{said}");
            None
        }
        Some(1) => Some(
            said.lines()
                .filter(|line| *line != format!("{config}:"))
                .map(str::to_owned)
                .collect(),
        ),
        other => panic!("exit code {other:?}: {said}"),
    }
}

/// What is put in place of what in [`Folder::config`].
fn changes() -> Vec<(&'static str, String)> {
    const STORE: &str = "{embedded: {path: DIR/tokenward.redb}}";
    let valkey = |url: &str| (STORE, format!("{{valkey: {{url: \"{url}\"}}}}"));
    let embedded = |path: &str| (STORE, format!("{{embedded: {{path: \"{path}\"}}}}"));
    let of_valkey = |settings: &str| (STORE, format!("{{valkey: {{{settings}}}, deadline: 200ms}}"));
    let listen = |address: &str| ("\"127.0.0.1:0\"", format!("\"{address}\""));
    let filter = |source: &str| ("{file: DIR/filter}", source.to_owned());
    let key = |source: &str| ("{file: DIR/key}", source.to_owned());
    let more = |line: &str| ("issuers: [", format!("{line}\nissuers: ["));
    let issuer = |url: &str| ("\"https://dex.example.com\"", format!("\"{url}\""));
    let mut changes = vec![("nothing", String::new())];
    changes.extend(
        [
            "redis://default@127.0.0.1:6379/0",
            "redis://127.0.0.1:6379/zero",
            "redis://127.0.0.1:6379/0/1",
            "redis://127.0.0.1:6379/-1",
            "redis://",
            "redis:127.0.0.1:6379",
            "redis://127.0.0.1:0",
            "redis://127.0.0.1:70000",
            "redis://0.0.0.0:6379",
            "redis://:6379",
            "redis://127.0.0.1:6379?protocol=resp3",
            "redis://127.0.0.1:6379?protocol=resp4",
            "rediss://127.0.0.1:6379#insecure",
            "rediss://127.0.0.1:6379#other",
            "unix://tmp/x.sock",
            "unix:///tmp/x.sock?user=a&pass=b",
            "unix:///tmp/x.sock?db=zero",
            "unix:///",
            "valkey://127.0.0.1:6379",
            "127.0.0.1:6379",
            "",
        ]
        .map(valkey),
    );
    changes.extend(
        [
            "url: \"redis://127.0.0.1:9\"",
            "url: \"rediss://127.0.0.1:9/3\"",
            "url: \"unix:///nowhere/valkey.sock?db=2\"",
            "url: \"redis://127.0.0.1:9\", cluster: {}",
            "url: \"redis://127.0.0.1:9/1\", cluster: {}",
            "url: \"redis://127.0.0.1:9\", cluster: {more: [\"redis://127.0.0.1:10/1\"]}",
            "url: \"redis://127.0.0.1:9\", cluster: {more: [\"rediss://127.0.0.1:10\"]}",
            "url: \"unix:///x.sock\", cluster: {}",
            "url: \"redis://127.0.0.1:9/2\", sentinel: {service: main, more: [\"redis://127.0.0.1:10\"]}",
            "url: \"redis://127.0.0.1:9/2\", sentinel: {service: main, more: [\"redis://127.0.0.1:10/1\"]}",
            "url: \"redis://127.0.0.1:9\", sentinel: {service: \"\"}",
            "url: \"unix:///x.sock\", sentinel: {service: main}",
            "url: \"redis://127.0.0.1:9\", username: tokenward",
            "url: \"redis://127.0.0.1:9\", username: \"\"",
            "url: \"redis://127.0.0.1:9\", key_prefix: \"a b\"",
        ]
        .map(of_valkey),
    );
    changes.extend(
        [
            "DIR/none/tokenward.redb",
            "DIR",
            "DIR/",
            "DIR/filter",
            "DIR/filter/tokenward.redb",
            "/proc/tokenward.redb",
            "/dev/null",
            "",
        ]
        .map(embedded),
    );
    changes.extend(
        [
            "127.0.0.1:65536",
            "127.0.0.1",
            "localhost:0",
            ":8080",
            "8080",
            "[::1:0",
            "203.0.113.1:0",
            "127.0.0.1:-1",
            "",
        ]
        .map(listen),
    );
    changes.extend(
        [
            "{file: DIR/absent}",
            "{file: DIR}",
            "{file: DIR/empty}",
            "{file: DIR/newline}",
            "{file: DIR/with-newline}",
            "{file: DIR/short}",
            "{file: DIR/aggregator}",
            "{file: \"\"}",
            "{env: TOKENWARD_TEST_ABSENT}",
            "{env: PATH}",
            "{env: \"A=B\"}",
            "{}",
            "{file: DIR/filter, env: HOME}",
        ]
        .map(filter),
    );
    changes.extend(
        [
            "{file: DIR/filter}",
            "{file: DIR/zeros}",
            "{file: DIR/with-newline}",
        ]
        .map(key),
    );
    changes.extend(
        [
            "margin: 3h",
            "lease: 10m",
            "caller_deadline: 60s",
            "issuer_timeout: 87600h",
            "session_lifetime: 87600h",
            "stale_subject_grace: 0s",
            "margn: 30s",
            "margin: 30s\nmargin: 40s",
            "filter_module: {path: DIR/none.wasm}",
            "filter_module: {path: DIR}",
            "filter_module: {path: DIR/filter}",
            "filter_module: {path: /dev/zero}",
            "filter_module: {path: DIR/old.wasm}",
            "filter_module: {path: DIR/any.wasm}",
            "intake: {connections: 0}",
            "intake: {connections: 99999999999}",
            "resource_metadata: {scopes: [\"a b\"]}",
            "servers: [",
            "]",
        ]
        .map(more),
    );
    changes.extend(
        [
            "http://dex.example.com",
            "https://dex.example.com?a=b",
            "https://u@dex.example.com",
            "dex.example.com",
            "https://",
            "",
        ]
        .map(issuer),
    );
    changes
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("empty", "");
    folder.write("newline", "\n");
    folder.write("with-newline", "a-filter-credential\n");
    folder.write("short", "fifteen-bytes-a");
    folder.write("zeros", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    folder.write("any.wasm", "\0asm\u{1}\0\0\0");
    // A custom section with this name, and the version 0.0.1.
    folder.write("old.wasm", "\0asm\u{1}\0\0\0\0\u{17}\u{11}tokenward_version0.0.1");
    folder
}

#[test]
fn check_and_serve_agree_about_every_configuration_and_name_the_same_faults() {
    let folder = folder();
    let path = folder.path().display().to_string();
    let whole = std::fs::read_to_string(folder.config("")).expect("the configuration");
    let (mut good, mut refused) = (0, 0);
    for (from, to) in changes() {
        let from = from.replace("DIR", &path);
        let yaml = whole.replacen(&from, &to.replace("DIR", &path), 1);
        let config = folder.write("changed.yaml", &yaml).display().to_string();
        match (checked(&config), served(&config)) {
            (None, Served::Listens) => good += 1,
            (Some(faults), Served::Refuses(log)) => {
                refused += 1;
                assert!(!faults.is_empty(), "{to}: {log}");
                for fault in &faults {
                    let times = log.matches(fault.as_str()).count();
                    assert_eq!(times, 1, "{to}: {fault:?} stands {times} times in\n{log}");
                }
                let errors = log.lines().filter(|line| line.contains("ERROR")).count();
                assert_eq!(errors, faults.len(), "{to}: {faults:#?}\n{log}");
                assert!(!log.contains("panicked"), "{to}: {log}");
            }
            (checked, served) => panic!("{to}: check says {checked:?}, and serve {served:?}"),
        }
        // What a good one left.
        let _ = std::fs::remove_file(folder.path().join("tokenward.redb"));
    }
    println!("{good} good, {refused} refused");
    assert!(good >= 8 && refused >= 80, "{good} good, {refused} refused");
}

/// What is in force while another tokenward runs must not make a good configuration look wrong.
#[test]
fn check_is_not_in_the_way_of_a_tokenward_that_runs_nor_that_one_of_it() {
    let folder = Folder::new();
    let config = folder.config("").display().to_string();
    let child = Command::new(env!("CARGO_BIN_EXE_tokenward"))
        .args(["serve", "--log", "text", "--config", &config])
        .stderr(Stdio::piped())
        .spawn()
        .expect("tokenward starts");
    let mut serving = Serving(child);
    let mut lines = BufReader::new(serving.0.stderr.take().expect("stderr")).lines();
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains(" listening ")),
        "it does not listen"
    );
    for _ in 0..5 {
        assert_eq!(checked(&config), None);
    }
    let entries = std::fs::read_dir(folder.path()).expect("the folder").count();
    // Four secrets, the configuration, the store: nothing of check's.
    assert_eq!(entries, 6);
}

#[test]
fn check_makes_no_store_and_names_a_configuration_that_cannot_be_read_once() {
    let folder = Folder::new();
    let config = folder.config("").display().to_string();
    assert_eq!(checked(&config), None);
    assert!(!folder.path().join("tokenward.redb").exists());
    for path in ["/nowhere/at/all.yaml", "/", "/dev/zero"] {
        let output = tokenward(&["check", "--config", path]);
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(said.matches(&format!("{path} ")).count(), 1, "{said}");
        let log = match served(path) {
            Served::Refuses(log) => log,
            Served::Listens => panic!("{path} was served"),
        };
        assert_eq!(log.matches(said.trim_end()).count(), 1, "{log}");
    }
}
