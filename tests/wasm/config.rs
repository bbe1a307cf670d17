//! A configuration that cannot be used is said once, refuses everything, kills nothing, and can be mended.

use serde_json::{Value, json};
use tokenward_protocol::refusal::Refusal;
use tokenward_wasm_host::story::{FilterWorld, exp_in, forward, secs, token};

use crate::fixtures::{
    assert_not_logged, assert_refused_once, assert_sound, kubernetes, lines, retry_after, send_on,
};

const CREDENTIAL: &str = "top-secret-credential";

fn good() -> Value {
    json!({
        "control": {"cluster": "tokenward_control", "credential": {"value": CREDENTIAL}},
        "session_headers": ["x-tokenward-session"],
        "servers": [{
            "name": "kubernetes", "path_prefix": "/kubernetes",
            "auth": {"kind": "forward", "issuer": "https://dex.example.com", "required_audiences": ["kube"]},
        }],
    })
}

/// A world of four workers under `text`, which a later [`FilterWorld::reconfigure`] replaces by a good one.
fn under(text: &str) -> FilterWorld {
    kubernetes().workers(4).raw_configuration(text).start()
}

fn assert_said_once_and_heals(world: &FilterWorld, field: &str) {
    let warns = world.warns();
    assert_eq!(warns.len(), 1, "{field}: {warns:?}");
    assert!(
        warns[0].starts_with("filter misconfigured") && warns[0].contains(&format!("field {field}:")),
        "{field}: {warns:?}"
    );
    for n in 0..8 {
        let fresh = world.mint(&token(exp_in(1800)));
        let sent = send_on(world, n % 4, &fresh);
        assert_refused_once(&sent, 503, "filter_misconfigured");
        let body = sent.json().expect("JSON");
        assert!(
            body["error_description"]
                .as_str()
                .is_some_and(|text| text.contains("filter misconfigured")),
            "{body}"
        );
        assert_eq!((retry_after(&sent), &body["server"]), (60, &Value::Null));
    }
    let elsewhere = world.request("somewhere-else").send();
    assert_refused_once(&elsewhere, 503, "filter_misconfigured");
    assert_eq!(
        world.counted(&["outcome=filter_misconfigured", "requests_total"]),
        9
    );
    assert_eq!(
        (world.control().calls().len(), world.upstream_requests().len()),
        (0, 0)
    );
    assert_eq!((world.warns().len(), world.infos().len()), (1, 0), "{field}");
    assert_not_logged(world, &[CREDENTIAL]);
    world.reconfigure(|_| {}).expect("never refused");
    for worker in 0..4 {
        let fresh = world.mint(&token(exp_in(1800)));
        assert!(
            send_on(world, worker, &fresh).is_forwarded(),
            "{field}: not healed"
        );
    }
    assert_eq!(world.warns().len(), 1);
    assert_sound(world);
}

/// Sets what stands at a path such as `servers/0/name`.
fn set(configuration: &mut Value, path: &str, value: Value) {
    let place = path
        .split('/')
        .fold(configuration, |place, step| match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[step],
        });
    *place = value;
}

#[test]
fn each_fault_is_one_warning_that_names_its_field_and_every_request_is_refused_until_it_is_mended() {
    let server = good()["servers"][0].clone();
    // The field that the WARN must name, what is changed, and to what.
    let faults = [
        ("margn", "margn", json!("60s")),
        ("margin", "margin", json!("60")),
        ("margin", "margin", json!("1 minute")),
        ("margin", "margin", json!(60)),
        ("margin", "margin", json!("0s")),
        ("margin", "margin", json!("-5s")),
        ("refresh_ahead", "refresh_ahead", json!("30s")),
        ("warn_every", "warn_every", json!("99999999h")),
        ("gate", "gate", json!("5s")),
        ("gate.login_frist", "gate/login_frist", json!("5s")),
        ("gate.login_first", "gate/login_first", json!("soon")),
        ("replacements", "replacements", json!(0)),
        ("replacements", "replacements", json!(1.5)),
        ("session_headers", "session_headers", json!("x")),
        ("session_headers", "session_headers", json!(["Authorization"])),
        ("session_headers", "session_headers", json!(["a b"])),
        ("server_annotation", "server_annotation", json!(1)),
        ("resource_metadata", "resource_metadata", json!("a\"b")),
        ("control", "control", json!(null)),
        ("control", "control", json!("tokenward")),
        ("control.cluster", "control/cluster", json!("")),
        ("control.timeout", "control/timeout", json!("5")),
        ("control.timeout", "control/timeout", json!("720h")),
        ("control.tiemout", "control/tiemout", json!("5s")),
        ("control.credential", "control/credential", json!(null)),
        ("control.credential", "control/credential", json!(CREDENTIAL)),
        ("control.credential", "control/credential/env", json!("X")),
        ("control.credential", "control/credential/value", json!("")),
        (
            "control.credential.env",
            "control/credential",
            json!({"env": "NOT_SET"}),
        ),
        // The secret itself, where its variable's name belongs: `assert_not_logged` looks for it.
        (
            "control.credential.env",
            "control/credential",
            json!({"env": CREDENTIAL}),
        ),
        (
            "control.credential.file",
            "control/credential/file",
            json!("/run"),
        ),
        ("servers", "servers", json!(null)),
        ("servers", "servers", json!([])),
        ("servers", "servers", json!({})),
        ("servers[0]", "servers/0", json!("kubernetes")),
        ("servers[0].name", "servers/0/name", json!(null)),
        ("servers[0].name", "servers/0/name", json!("a b")),
        ("servers[1].name", "servers", json!([server, server])),
        ("servers[0].path_prefix", "servers/0/path_prefix", json!("mcp")),
        ("servers[0].host", "servers/0/host", json!("a:80")),
        ("servers[0].host", "servers/0/host", json!("*example.com")),
        ("servers[0].host", "servers/0/host", json!("gw.test.")),
        (
            "servers[0].path_prefix",
            "servers/0/path_prefix",
            json!("/kubernetes/*"),
        ),
        ("unmatched", "unmatched", json!("deny")),
        ("servers[0].auth", "servers/0/auth", json!(null)),
        (
            "servers[0].auth.kind",
            "servers/0/auth/kind",
            json!("passthrough"),
        ),
        ("servers[0].auth.kind", "servers/0/auth/kind", json!(null)),
        ("servers[0].auth.issuer", "servers/0/auth/issuer", json!("")),
        (
            "servers[0].auth.subject_issuer",
            "servers/0/auth/kind",
            json!("exchange"),
        ),
        (
            "servers[0].auth.subject_issuer",
            "servers/0/auth/subject_issuer",
            json!("x"),
        ),
        (
            "servers[0].auth.required_audiences",
            "servers/0/auth/required_audiences",
            json!("kube"),
        ),
    ];
    for (field, path, value) in faults {
        let mut configuration = good();
        set(&mut configuration, path, value);
        assert_said_once_and_heals(&under(&configuration.to_string()), field);
    }
}

#[test]
fn a_text_that_is_no_configuration_at_all_is_refused_the_same_way() {
    let twice = good()
        .to_string()
        .replacen('{', "{\"margin\":\"60s\",\"margin\":\"90s\",", 1);
    let deep = "[".repeat(100_000);
    for text in ["", "null", "[]", "not JSON", "{\"control\":", deep.as_str()] {
        assert_said_once_and_heals(&under(text), "(the whole configuration)");
    }
    assert_said_once_and_heals(&under(&twice), "margin");
}

#[test]
fn a_fault_that_stays_is_said_again_once_a_minute_and_no_more() {
    let world = under("{}");
    for n in 0..179 {
        let sent = world.request("kubernetes").on_worker(n % 4).send();
        assert_eq!(sent.status(), Some(503));
        world.advance(secs(1));
    }
    assert_eq!(world.warns().len(), 3);
    assert_eq!((world.infos().len(), world.upstream_requests().len()), (0, 0));
    // A person who looks at any one of them must see what to mend.
    for warn in world.warns() {
        assert!(warn.contains("field control:"), "{warn}");
    }
}

#[test]
fn a_bad_configuration_in_place_of_a_good_one_refuses_instead_of_guessing() {
    let world = kubernetes().workers(4).start();
    let fresh = world.mint(&token(exp_in(1800)));
    for worker in 0..4 {
        assert!(send_on(&world, worker, &fresh).is_forwarded());
    }
    world
        .reconfigure(|configuration| configuration["margin"] = "soon".into())
        .expect("never refused");
    world.gateway().drain_old_configuration();
    for worker in 0..4 {
        assert_refused_once(&send_on(&world, worker, &fresh), 503, "filter_misconfigured");
    }
    assert_eq!((world.warns().len(), world.upstream_requests().len()), (1, 4));
    world
        .reconfigure(|configuration| configuration["margin"] = "60s".into())
        .expect("never refused");
    for worker in 0..4 {
        assert!(send_on(&world, worker, &fresh).is_forwarded());
    }
    assert_sound(&world);
}

#[test]
fn requests_that_wait_under_an_old_configuration_are_still_answered() {
    let world = kubernetes().start();
    world.control().answers(token(exp_in(1800))).takes_ms(1_000);
    let waits = send_on(&world, 0, &world.mint(&token(exp_in(-5))));
    world
        .reconfigure(|configuration| configuration["margin"] = "61s".into())
        .expect("a good configuration");
    assert!(waits.is_paused());
    world.advance(secs(2));
    assert!(waits.is_forwarded());
    assert_eq!((waits.stream().resumes(), world.control().calls().len()), (1, 1));
    assert_sound(&world);
}

#[test]
fn the_credential_comes_from_the_environment_and_is_never_written() {
    let credential = "s3cr3t:%&+/=";
    let world = kubernetes()
        .credential_in_environment("TOKENWARD_FILTER_CREDENTIAL", credential)
        .start();
    world.control().refuses(Refusal::CallerRejected);
    assert_refused_once(
        &send_on(&world, 0, &world.mint(&token(exp_in(-5)))),
        503,
        "caller_rejected",
    );
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    let sent = calls[0].callout.headers.text("authorization");
    assert_eq!(sent.as_deref(), Some("Bearer s3cr3t:%&+/="));
    assert_not_logged(&world, &["s3cr3t"]);
    assert_sound(&world);
}

#[test]
fn the_call_to_control_is_what_was_configured() {
    let world = FilterWorld::builder()
        .server(forward("kubernetes"))
        .control_setting("authority", "control.internal")
        .control_setting("timeout", "1500ms")
        .start();
    world.control().is_silent();
    let sent = send_on(&world, 0, &world.mint(&token(exp_in(-5))));
    let calls = world.control().calls();
    assert_eq!(calls.len(), 1);
    let callout = &calls[0].callout;
    assert_eq!(
        (callout.cluster.as_str(), callout.timeout_ms),
        ("tokenward_control", 1_500)
    );
    let text = |name| callout.headers.text(name).unwrap_or_default();
    assert_eq!(
        [":method", ":path", ":authority", "content-type"].map(text),
        [
            "POST",
            "/oauth2/token",
            "control.internal",
            "application/x-www-form-urlencoded"
        ]
    );
    world.advance(secs(2));
    assert_refused_once(&sent, 503, "control_late");
    assert_eq!(lines(&world), (1, 0, 0));
}
