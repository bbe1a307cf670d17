//! Statements of the documents, compared with the code.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokenward_control::authorization::access_token;
use tokenward_control::authorization::refusal::AuthorizationRefusal;
use tokenward_control::config::Config;
use tokenward_control::observe::metrics::{Metrics, RecordCounts};
use tokenward_control::tls::{CertificateFacts, ServerIdentity};
use tokenward_control::upstream::dialect::Dialect;
use tokenward_harness::parts::{Authority, tools, write_file};
use tokenward_kubernetes::kind::KINDS;
use tokenward_protocol::refusal::{Refusal, RefusalClass};

/// The page that has both tables of fields and control's example.
const CONFIGURATION: &str = "docs/configuration.md";
const SEALING_KEY: &str = "kC3b0tZ3mW5s1hQ0aYVbq7cYpYw8v2y3m0mJ0f4d2lE=";

fn document(path: &str) -> String {
    let path = tools::workspace().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_pages_configuration_of_control_is_accepted() -> anyhow::Result<()> {
    let secrets = TempDir::with_prefix("tokenward-documentation-")?;
    for name in ["filter", "aggregator", "valkey", "dex", "remote"] {
        write_file(&secrets, name, format!("a-secret-of-the-{name}"))?;
    }
    write_file(&secrets, "sealing-k1", SEALING_KEY)?;
    let [yaml] = &blocks(&document(CONFIGURATION), "yaml")[..] else {
        panic!("one configuration in {CONFIGURATION}")
    };
    let yaml = yaml.replace("/run/secrets/tokenward", &secrets.path().display().to_string());
    let config = Config::parse(&yaml)?;
    assert_eq!(config.servers.len(), 2);
    Ok(())
}

/// The page's configuration without the chart; the chart's values on the same page are rendered in tests/installed.
#[test]
fn the_login_pages_configuration_of_control_is_accepted() -> anyhow::Result<()> {
    let secrets = TempDir::with_prefix("tokenward-documentation-")?;
    for name in ["filter", "aggregator", "valkey", "dex"] {
        write_file(&secrets, name, format!("a-secret-of-the-{name}"))?;
    }
    write_file(&secrets, "sealing-k1", SEALING_KEY)?;
    write_file(&secrets, "signing-key", access_token::generate()?.expose_secret())?;
    let page = blocks(&document("docs/login.md"), "yaml");
    let [yaml] = &page
        .iter()
        .filter(|block| block.starts_with("listen:"))
        .collect::<Vec<_>>()[..]
    else {
        panic!("one configuration of control in docs/login.md")
    };
    let yaml = yaml.replace("/run/secrets/tokenward", &secrets.path().display().to_string());
    let config = Config::parse(&yaml)?;
    let authorization = config.authorization.context("no authorization server")?;
    assert_eq!(authorization.issuer, "https://mcp.example.com");
    assert_eq!(authorization.login.client_id, "tokenward");
    assert_eq!(authorization.trusted_proxies, 1);
    Ok(())
}

/// What the blocks of docs/issuers.md leave out.
const BESIDE_ISSUERS: &str = "
credentials:
  filter: {file: /run/secrets/tokenward/filter}
  aggregator: {file: /run/secrets/tokenward/aggregator}
store: {embedded: {path: /run/secrets/tokenward/store}}
sealing: {current: {id: k1, key: {file: /run/secrets/tokenward/sealing-k1}}}
";

/// In the page's order; the last is of an issuer that none of the kinds fits.
#[test]
fn each_issuers_configuration_on_the_issuers_page_is_accepted_as_of_its_kind() -> anyhow::Result<()> {
    let kinds = [
        ("dex", Dialect::Dex),
        ("keycloak", Dialect::Keycloak),
        ("entra", Dialect::Entra),
        ("okta", Dialect::Okta),
        ("auth0", Dialect::Auth0),
        ("google", Dialect::Google),
        ("other", Dialect::Standard),
    ];
    let secrets = TempDir::with_prefix("tokenward-documentation-")?;
    for name in kinds
        .map(|(name, _)| name)
        .into_iter()
        .chain(["filter", "aggregator", "remote"])
    {
        write_file(&secrets, name, format!("a-secret-of-the-{name}"))?;
    }
    write_file(&secrets, "sealing-k1", SEALING_KEY)?;
    let page = blocks(&document("docs/issuers.md"), "yaml");
    assert_eq!(page.len(), kinds.len());
    for (block, (name, dialect)) in page.iter().zip(kinds) {
        let yaml = format!("{BESIDE_ISSUERS}{block}")
            .replace("/run/secrets/tokenward", &secrets.path().display().to_string());
        let config = Config::parse(&yaml).with_context(|| format!("the block of {name}"))?;
        assert_eq!(config.issuers[0].dialect, dialect, "{name}");
        assert!(!config.servers.is_empty(), "{name}");
    }
    Ok(())
}

fn certificate() -> CertificateFacts {
    let authority = Authority::new("an authority").expect("an authority");
    let pair = authority.pair(&["control.example.com"]).expect("a pair");
    let identity = ServerIdentity::read(&pair.certificate, &pair.key.into(), None).expect("a good pair");
    identity.certificate().clone()
}

#[test]
fn the_metrics_page_lists_every_refusal_under_what_follows_from_it() {
    let page = document("docs/METRICS.md");
    let paragraph = |start: &str, end: &str| {
        let (_, rest) = page.split_once(start).unwrap_or_else(|| panic!("no {start:?}"));
        rest.split_once(end)
            .map_or(rest, |(paragraph, _)| paragraph)
            .to_owned()
    };
    let login = paragraph("Refusals answered with 401:", "With 503, waiting helps:");
    let transient = paragraph("With 503, waiting helps:", "With 503, an operator must act:");
    let misconfigured = paragraph("With 503, an operator must act:", "\n\n");
    for refusal in Refusal::ALL {
        let there =
            [&login, &transient, &misconfigured].map(|text| text.contains(&format!("`{}`", refusal.name())));
        let expected = [
            RefusalClass::LoginNeeded,
            RefusalClass::Transient,
            RefusalClass::Misconfigured,
        ]
        .map(|class| class == refusal.class());
        assert_eq!(there, expected, "{}", refusal.name());
    }
}

/// Each once, under the error that decides what a client does.
#[test]
fn the_metrics_page_lists_every_refusal_of_the_authorization_server_under_its_error() {
    let page = document("docs/METRICS.md");
    let (_, section) = page
        .split_once("## Outcomes at the authorization server")
        .expect("a chapter on its outcomes");
    let groups: Vec<&str> = section.split("\n- **").skip(1).collect();
    assert_eq!(groups.len(), 5);
    for refusal in AuthorizationRefusal::ALL {
        let name = format!("`{}`", refusal.name());
        let there: Vec<_> = groups
            .iter()
            .filter(|group| {
                group
                    .split("\n\n")
                    .next()
                    .is_some_and(|group| group.contains(&name))
            })
            .collect();
        let [group] = there[..] else {
            panic!("{name} in {} groups", there.len())
        };
        let own_group = [
            "invalid_grant",
            "invalid_client",
            "temporarily_unavailable",
            "access_denied",
        ];
        let error = refusal.error();
        let expected = own_group.contains(&error).then(|| format!("`{error}`**"));
        assert!(
            group.starts_with(&expected.unwrap_or_else(|| "the request itself".to_owned())),
            "{name}: {group}"
        );
    }
}

#[test]
fn the_readmes_refused_answer_is_the_real_one() {
    let [answer] = &blocks(&document("README.md"), "http")[..] else {
        panic!("one answer in the README")
    };
    let refusal = Refusal::NeedsLogin;
    assert!(
        answer.contains(refusal.description()) && answer.contains(refusal.name()),
        "{answer}"
    );
    assert!(answer.starts_with("HTTP/1.1 401 "));
}

#[test]
fn the_metrics_page_lists_every_metric_of_control_and_no_other() {
    let metrics = Metrics::default();
    metrics.token_request("kubernetes", "token");
    metrics.refresh("https://dex.example.com", "refreshed");
    metrics.exchange("kubernetes", "exchanged");
    metrics.issuer_request("https://dex.example.com", "keys", Duration::ZERO);
    metrics.issuer_answer("https://dex.example.com", "refresh", "tokens");
    metrics.revocation("https://dex.example.com", "revoked");
    metrics.store_operation("read", Duration::ZERO, true);
    metrics.record_counts(Some(&RecordCounts {
        sessions: vec![("usable", 1)],
        grants: vec![("active", 1)],
        counted_at_seconds: 1,
    }));
    metrics.session_change("created", 1);
    metrics.connection_closed("late");
    metrics.intake_bytes_of("known").set(1);
    metrics.request_unread("late");
    metrics.config_reload("applied");
    metrics.issuer_circuit("https://dex.example.com", false);
    metrics.issuer_held_back("https://dex.example.com", "circuit");
    metrics.authorization_request("token", "issued");
    metrics.authorization.client_document("fetched");
    metrics.relay.refresh("https://dex.example.com", "stored");
    metrics.relay.login("https://dex.example.com", "learned");
    metrics.relay.passed("https://dex.example.com", "answered");
    metrics.tls.in_force("control", &certificate());
    metrics.kubernetes.resources(&[], 0);
    metrics.kubernetes.watch(&KINDS[0], "mcp", None);
    // A family's name is in its HELP line without the ending that its samples have.
    let exposed: BTreeSet<String> = metrics
        .exposition()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|family| match family.split_once(' ') {
            Some((name, "counter")) => format!("{name}_total"),
            Some((name, "info")) => format!("{name}_info"),
            Some((name, _)) => name.to_owned(),
            None => panic!("{family}"),
        })
        .collect();
    let page = document("docs/METRICS.md");
    let (_, control) = page.split_once("## Control").expect("a chapter on control");
    let documented: BTreeSet<String> = control
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(exposed, documented);
}

/// The first column of the configuration page's table that follows `heading`, down to the depth of the chart's schema: `gate.login_first`,
/// but `servers` for `servers[].name`.
fn settings_of_the_page(heading: &str) -> BTreeSet<String> {
    let page = document(CONFIGURATION);
    let (_, rest) = page.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let table = rest.split("\n## ").next().unwrap_or(rest);
    let cells = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let fields = cells.flat_map(|cell| {
        format!("`{cell}")
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    fields
        .filter(|field| !field.starts_with('.'))
        .map(|field| match field.split_once(['.', '[']) {
            Some((parent @ ("control" | "gate" | "intake" | "state"), child)) => format!("{parent}.{child}"),
            Some((parent, _)) => parent.to_owned(),
            None => field,
        })
        .collect()
}

/// What the chart's schema lets through under `pointer`, with the names of nested settings where it knows them.
fn settings_of_the_chart(pointer: &str) -> anyhow::Result<BTreeSet<String>> {
    let schema: Value = serde_json::from_str(&document("envoy/chart/values.schema.json"))?;
    let settings = schema.pointer(pointer).context("no such settings")?;
    let closed = |place: &Value| place["additionalProperties"] == false;
    anyhow::ensure!(closed(settings), "{pointer} takes any name");
    let properties = settings["properties"].as_object().context("no names")?;
    let mut names = BTreeSet::new();
    for (name, place) in properties {
        match place["properties"].as_object() {
            Some(nested) if closed(place) => {
                names.extend(nested.keys().map(|child| format!("{name}.{child}")));
            }
            _ => {
                names.insert(name.clone());
            }
        }
    }
    Ok(names)
}

/// The filter refuses every request at a name that it does not know: the chart must refuse it before.
#[test]
fn the_charts_free_settings_are_the_fields_of_the_pages_tables_and_no_others() -> anyhow::Result<()> {
    for (heading, pointer) in [
        (
            "## The filter",
            "/properties/gateway/properties/filter/properties/settings",
        ),
        ("## Control", "/properties/controlSettings"),
        ("## The authorization server", "/$defs/authorizationSettings"),
        ("## The console", "/$defs/consoleSettings"),
    ] {
        assert_eq!(
            settings_of_the_chart(pointer)?,
            settings_of_the_page(heading),
            "{heading}"
        );
    }
    Ok(())
}

/// What an expression calls metrics, without the endings of a histogram's samples.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("tokenward_") || word.starts_with("envoy_wasm_"))
        .map(|word| {
            word.trim_end_matches("_bucket")
                .trim_end_matches("_count")
                .to_owned()
        })
        .collect()
}

#[test]
fn alerts_and_dashboard_look_at_metrics_of_the_metrics_page_only() {
    let page = document("docs/METRICS.md").replace("vm_reload*", "vm_reload");
    let known = metrics_in(&page);
    for (file, least) in [("alerts.yaml", 8), ("dashboard.json", 10)] {
        let text = document(&format!("envoy/chart/files/{file}"));
        let expressions = text.lines().filter(|line| !line.contains("description:"));
        let used = metrics_in(&expressions.collect::<Vec<_>>().join("\n"));
        assert!(used.len() >= least, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

/// An increase is seen only of a sample that was there before.
#[test]
fn what_alerts_count_is_there_from_nought() {
    let metrics = Metrics::default();
    metrics.known_home_issuer("I");
    metrics.relay.known_issuer("I");
    metrics.known_server("S", true);
    let exposition = metrics.exposition();
    for sample in [
        r#"authorization_requests_total{endpoint="token",outcome="reuse"}"#,
        r#"config_reloads_total{outcome="rejected"}"#,
        r#"refreshes_total{issuer="I",outcome="lost"}"#,
        r#"refreshes_total{issuer="I",outcome="put_back"}"#,
        r#"refreshes_total{issuer="I",outcome="substitution"}"#,
        r#"exchanges_total{server="S",outcome="substitution"}"#,
        r#"exchanges_total{server="S",outcome="exchange_misconfigured"}"#,
        r#"relay_logins_total{issuer="I",outcome="rotated_elsewhere"}"#,
        r#"token_requests_total{server="S",outcome="busy"}"#,
        r#"connections_closed_total{cause="full"}"#,
        r#"requests_unread_total{cause="no_room"}"#,
        r#"session_changes_total{change="created"}"#,
        r#"store_errors_total{operation="write"}"#,
    ] {
        let line = format!("tokenward_{sample} 0\n");
        assert!(exposition.contains(&line), "no {line}: {exposition}");
    }
}
