//! What the chart renders (envoy/gateway), compared with what docs/SECURITY.md and docs/install.md state.

use anyhow::Context as _;
use serde_json::Value;
use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::server_match::{ServerMatch, find_server};
use tokenward_harness::parts::tools;

const EXAMPLES: [&str; 2] = ["with-patches.yaml", "without-patches.yaml"];

fn resources(file: &str) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(tools::workspace().join("envoy/gateway").join(file))?;
    let documents = text
        .split("\n---\n")
        .filter(|document| document.contains("\nkind: "));
    documents
        .map(|document| serde_saphyr::from_str(document).context(file.to_owned()))
        .collect()
}

fn of_kind<'a>(resources: &'a [Value], kind: &str) -> Vec<&'a Value> {
    resources
        .iter()
        .filter(|resource| resource["kind"] == kind)
        .collect()
}

#[test]
fn the_rendered_filter_refuses_what_no_server_matches_but_the_documents_that_control_serves()
-> anyhow::Result<()> {
    for file in EXAMPLES {
        let resources = resources(file)?;
        let [policy] = of_kind(&resources, "EnvoyExtensionPolicy")[..] else {
            anyhow::bail!("{file}: one policy");
        };
        let config = policy["spec"]["wasm"][0]["config"].to_string();
        let config = FilterConfig::parse(config.as_bytes(), |_| Some("credential".to_owned()))?;
        let found = |host: &str, path: &str| find_server(&config, None, host.as_bytes(), path.as_bytes());
        let document = "/.well-known/oauth-protected-resource";
        assert_eq!(found("mcp.example.com", document), ServerMatch::None);
        assert_eq!(
            found("mcp.example.com.", &format!("{document}/kubernetes/mcp")),
            ServerMatch::None
        );
        for (host, path) in [
            ("dex.example.com", "/token"),
            ("mcp.example.com", "/exchange/kubernetes-remote/token"),
        ] {
            assert_eq!(found(host, path), ServerMatch::None, "{file}: {host} {path}");
        }
        for (host, path) in [
            ("mcp.example.com", "/"),
            ("mcp.example.com", "/exchanges"),
            ("mcp.example.com", "/token"),
            ("mcp.example.com", "/kubernetes/mcp"),
            (
                "mcp.example.com",
                "/.well-known/oauth-protected-resource/../kubernetes/mcp",
            ),
            ("other.example.com", document),
            ("tokenward.mcp.svc.cluster.local", "/oauth2/token"),
        ] {
            assert_eq!(found(host, path), ServerMatch::Unmatched, "{file}: {host} {path}");
        }
    }
    Ok(())
}

/// The filter judges a token when the request comes; the last try must begin less than `margin` later.
#[test]
fn nothing_that_is_rendered_sends_a_request_again_or_lets_it_wait_behind_the_filter() -> anyhow::Result<()> {
    for file in EXAMPLES {
        let resources = resources(file)?;
        // The relay's route is no way to an MCP server: the filter judges nothing there.
        let (relay, resources): (Vec<_>, Vec<_>) = resources.into_iter().partition(|resource| {
            let policy = resource["kind"] == "BackendTrafficPolicy";
            policy && resource["spec"]["targetRefs"][0]["name"] == "tokenward-relay-dex-example-com"
        });
        let [relay] = &relay[..] else {
            anyhow::bail!("{file}: one policy for the relay");
        };
        assert_eq!(
            relay["spec"]["retry"]["retryOn"],
            serde_json::json!({"triggers": ["connect-failure"]}),
            "{file}: a refresh token is sent once"
        );
        let text = Value::Array(resources.clone()).to_string();
        for late in [
            "\"retry",
            "perRetry",
            "numRetries",
            "retryOn",
            "hedge",
            "requestBuffer",
            "faultInjection",
        ] {
            assert!(!text.contains(late), "{file}: {late}");
        }
        let [policy] = of_kind(&resources, "BackendTrafficPolicy")[..] else {
            anyhow::bail!("{file}: one policy for streams");
        };
        let breaker = &policy["spec"]["circuitBreaker"];
        for limit in ["maxConnections", "maxParallelRequests"] {
            assert_eq!(breaker[limit], u32::MAX, "{file}: {limit}");
        }
    }
    Ok(())
}
/// The example without an aggregator: what clients call and browsers open passes without a token, and nothing else of that
/// host does.
#[test]
fn the_rendered_filter_passes_the_authorization_servers_paths_and_takes_its_access_tokens()
-> anyhow::Result<()> {
    let resources = resources("login.yaml")?;
    let [policy] = of_kind(&resources, "EnvoyExtensionPolicy")[..] else {
        anyhow::bail!("one policy");
    };
    let config = policy["spec"]["wasm"][0]["config"].to_string();
    let config = FilterConfig::parse(config.as_bytes(), |_| Some("credential".to_owned()))?;
    let found = |path: &str| find_server(&config, None, b"mcp.example.com", path.as_bytes());
    for path in [
        "/authorize",
        "/authorize/consent",
        "/authorize/callback",
        "/token",
        "/register",
        "/revoke",
        "/jwks",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource/kubernetes/mcp",
    ] {
        assert_eq!(found(path), ServerMatch::None, "{path}");
    }
    for path in [
        "/",
        "/oauth2/token",
        "/v1/sessions/a",
        "/tokens",
        "/kubernetes/mcp",
    ] {
        assert_eq!(found(path), ServerMatch::Unmatched, "{path}");
    }
    let routes = of_kind(&resources, "HTTPRoute");
    let annotated = routes.iter().filter(|route| {
        route["metadata"]["annotations"]["gateway.envoyproxy.io/tokenward-server"].is_string()
    });
    assert_eq!(annotated.count(), 2, "each server's route names it");
    Ok(())
}
