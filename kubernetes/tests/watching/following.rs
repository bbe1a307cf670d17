//! The watches against an API server that grows, shrinks, goes away, forgets and refuses.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tokenward_kubernetes::api::Api;
use tokenward_kubernetes::secret::SecretRead;
use tokenward_kubernetes::{Kind, Selection, Settings, Snapshot, Watching};
use tokio::sync::watch;

use crate::scripted::{Fault, GROUP, Scripted};

type Lists = watch::Receiver<Option<Arc<Snapshot>>>;

fn settings() -> Settings {
    let kind = Kind::find(GROUP, "MCPServer").expect("known");
    Settings {
        selections: vec![Selection {
            kind,
            namespaces: vec!["muster".to_owned()],
            label_selector: None,
        }],
        kubeconfig: None,
        lease: None,
        has_earlier_list: false,
    }
}

fn start(api: &Arc<Scripted>) -> (Watching, Lists) {
    let api: Arc<dyn Api> = Arc::clone(api) as Arc<dyn Api>;
    let watching = Watching::with_api(&settings(), api);
    let lists = watching.snapshots();
    (watching, lists)
}

fn spec(url: &str) -> Value {
    json!({"spec": {"type": "streamable-http", "url": url, "auth": {"type": "oauth", "forwardToken": true}}})
}

fn exchanging(secret: &str) -> Value {
    json!({"spec": {"url": "https://mcp.example.com/remote", "auth": {"tokenExchange": {
        "enabled": true, "clientCredentialsSecretRef": {"name": secret},
    }}}})
}

fn names(list: &Snapshot) -> Vec<&str> {
    list.resources
        .iter()
        .map(|resource| resource.id.name.as_str())
        .collect()
}

/// The first list of which `holds` is true. Time is paused: a wait of hours takes none.
async fn until(lists: &mut Lists, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
    let wait = lists.wait_for(|list| list.as_ref().is_some_and(|list| holds(list)));
    let found = tokio::time::timeout(Duration::from_secs(3600), wait).await;
    let found = found.expect("within the hour").expect("the watches run");
    Arc::clone(found.as_ref().expect("a list"))
}

async fn has(lists: &mut Lists, expected: &[&str]) -> Arc<Snapshot> {
    until(lists, |list| names(list) == expected).await
}

#[tokio::test(start_paused = true)]
async fn a_list_grows_is_edited_and_shrinks_with_one_read_of_it() {
    let api = Scripted::new();
    let (_watching, mut lists) = start(&api);
    has(&mut lists, &[]).await;
    api.apply("a", spec("https://mcp.example.com/a"));
    has(&mut lists, &["a"]).await;
    api.apply("b", spec("https://mcp.example.com/b"));
    has(&mut lists, &["a", "b"]).await;
    api.apply("a", spec("https://mcp.example.com/other"));
    until(&mut lists, |list| {
        list.resources[0].spec["url"] == "https://mcp.example.com/other"
    })
    .await;
    api.delete("a");
    has(&mut lists, &["b"]).await;
    assert_eq!(api.lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_few_lists_and_a_steady_stream_still_arrives() {
    let api = Scripted::new();
    let (_watching, mut lists) = start(&api);
    has(&mut lists, &[]).await;
    for number in 0..100 {
        api.apply(&format!("server-{number:03}"), spec("https://mcp.example.com/x"));
    }
    until(&mut lists, |list| list.resources.len() == 100).await;
    let mut published = 0;
    // 200 edits, one each 50 ms: ten seconds without a quiet moment.
    for edit in 0..200 {
        api.apply("server-000", spec(&format!("https://mcp.example.com/{edit}")));
        tokio::time::sleep(Duration::from_millis(50)).await;
        if lists.has_changed().expect("the watches run") {
            lists.borrow_and_update();
            published += 1;
        }
    }
    assert!((5..=20).contains(&published), "{published} lists");
    until(&mut lists, |list| {
        list.resources[0].spec["url"] == "https://mcp.example.com/199"
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_list_holds_while_the_api_server_is_away_for_ten_minutes_and_what_happened_meanwhile_arrives() {
    let api = Scripted::new();
    api.apply("a", spec("https://mcp.example.com/a"));
    let (watching, mut lists) = start(&api);
    has(&mut lists, &["a"]).await;
    api.set_fault(Some(Fault::Away));
    api.apply("b", spec("https://mcp.example.com/b"));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(names(lists.borrow().as_ref().expect("a list")), ["a"]);
    let state = &watching.states()[0];
    assert_eq!(state.fault.as_deref(), Some("connection refused"));
    let attempts = api.watches();
    api.set_fault(None);
    let back = tokio::time::Instant::now();
    has(&mut lists, &["a", "b"]).await;
    assert!(back.elapsed() < Duration::from_secs(25), "{:?}", back.elapsed());
    assert_eq!(watching.states()[0].fault, None);
    // The watch went on where it was: nothing was read again.
    assert_eq!(api.lists(), 1);
    assert_eq!(api.watches(), attempts + 1);
}

#[tokio::test(start_paused = true)]
async fn a_resource_version_that_is_too_old_is_one_more_list_and_nothing_is_missed() {
    let api = Scripted::new();
    api.apply("a", spec("https://mcp.example.com/a"));
    let (_watching, mut lists) = start(&api);
    has(&mut lists, &["a"]).await;
    api.forget_versions(|api| {
        api.delete("a");
        api.apply("b", spec("https://mcp.example.com/b"));
    });
    has(&mut lists, &["b"]).await;
    assert_eq!(api.lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_installed_later_is_noticed_and_one_that_is_missing_delays_no_others() {
    let api = Scripted::new();
    api.apply("a", spec("https://mcp.example.com/a"));
    let mut settings = settings();
    settings.selections.push(Selection {
        kind: Kind::find("kagent.dev", "RemoteMCPServer").expect("known"),
        namespaces: vec!["muster".to_owned()],
        label_selector: None,
    });
    let watching = Watching::with_api(&settings, Arc::clone(&api) as Arc<dyn Api>);
    let mut lists = watching.snapshots();
    has(&mut lists, &["a"]).await;
    let installed: Vec<_> = watching.states().iter().map(|state| state.is_installed).collect();
    assert!(installed.contains(&Some(false)), "{installed:?}");

    let api = Scripted::new();
    api.set_groups(&[]);
    api.apply("a", spec("https://mcp.example.com/a"));
    let (_watching, mut lists) = start(&api);
    has(&mut lists, &[]).await;
    api.set_groups(&[GROUP]);
    has(&mut lists, &["a"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_forbidden_is_a_fault_and_never_an_empty_list() {
    let api = Scripted::new();
    api.set_fault(Some(Fault::Forbidden));
    let (watching, lists) = start(&api);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(lists.borrow().is_none());
    let fault = watching.states()[0].fault.clone();
    assert_eq!(fault.as_deref(), Some("not allowed: forbidden"));
}

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_comes_and_rotates_without_a_change_of_its_resource() {
    let api = Scripted::new();
    api.apply("remote", exchanging("credentials"));
    let (_watching, mut lists) = start(&api);
    let read = |list: &Snapshot| list.secrets.values().next().cloned();
    until(&mut lists, |list| read(list) == Some(SecretRead::Absent)).await;
    for secret in ["one", "two"] {
        api.put_secret(
            "credentials",
            &json!({"client-id": encoded("kube"), "client-secret": encoded(secret)}),
        );
        let expected = SecretRead::Present(
            [("client-id", "kube"), ("client-secret", secret)]
                .map(|(key, value)| (key.to_owned(), value.into()))
                .into(),
        );
        until(&mut lists, |list| read(list).as_ref() == Some(&expected)).await;
    }
    api.delete("remote");
    until(&mut lists, |list| list.secrets.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_list_waits_for_the_secrets_that_it_names() {
    let api = Scripted::new();
    api.apply("remote", exchanging("credentials"));
    api.put_secret("credentials", &json!({"client-id": encoded("kube")}));
    let (_watching, mut lists) = start(&api);
    let list = has(&mut lists, &["remote"]).await;
    assert!(matches!(
        list.secrets.values().next(),
        Some(SecretRead::Present(_))
    ));
}
