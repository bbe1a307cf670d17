//! RFC 9728: a client that was refused learns where to log in, from the address that §3.1 derives from the resource.

use serde_json::{Value, json};

use crate::deployment::{Answer, Deployment, Plan};

fn server(name: &str, resource: &str) -> Value {
    json!({"name": name, "resource": resource, "auth": {"forwardToken": true}})
}

async fn deployment(settings: Value) -> anyhow::Result<Deployment> {
    let servers = vec![
        server("root", "https://mcp.example.com"),
        server("kube", "https://mcp.example.com/kubernetes/mcp"),
        server("slash", "https://mcp.example.com/slash/"),
        server("elsewhere", "https://other.example.com:8443/kubernetes/mcp"),
        server("here", "http://127.0.0.1:9000/mcp"),
    ];
    Deployment::start(Plan {
        settings,
        servers,
        ..Plan::default()
    })
    .await
}

async fn asked(deployment: &Deployment, host: &str, path: &str) -> anyhow::Result<Answer> {
    let url = format!(
        "{}/.well-known/oauth-protected-resource{path}",
        deployment.urls[0]
    );
    deployment
        .request(deployment.http.get(url).header("host", host))
        .await
}

#[tokio::test]
async fn each_resource_has_its_document_where_the_rfc_puts_it() -> anyhow::Result<()> {
    let deployment = deployment(json!({})).await?;
    let cases = [
        ("mcp.example.com", "", "https://mcp.example.com", "root"),
        (
            "mcp.example.com",
            "/kubernetes/mcp",
            "https://mcp.example.com/kubernetes/mcp",
            "kube",
        ),
        (
            "MCP.example.com:443",
            "/slash/",
            "https://mcp.example.com/slash/",
            "slash",
        ),
        (
            "other.example.com:8443",
            "/kubernetes/mcp",
            "https://other.example.com:8443/kubernetes/mcp",
            "elsewhere",
        ),
        ("127.0.0.1:9000", "/mcp", "http://127.0.0.1:9000/mcp", "here"),
    ];
    for (host, path, resource, name) in cases {
        let answer = asked(&deployment, host, path).await?;
        assert_eq!(answer.status, 200, "{host}{path}: {answer:?}");
        assert_eq!(
            answer.body,
            json!({
                "resource": resource,
                "authorization_servers": [deployment.dex.issuer()],
                "bearer_methods_supported": ["header"],
                "resource_name": name,
            })
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let cases = [
        ("mcp.example.com", "/slash"),
        ("mcp.example.com", "/kubernetes/mcp/"),
        ("mcp.example.com:8443", "/kubernetes/mcp"),
        ("other.example.com", "/kubernetes/mcp"),
        ("unknown.example.com", ""),
    ];
    for (host, path) in cases {
        let answer = asked(&deployment, host, path).await?;
        assert_eq!(
            answer.refusal(),
            (404, "unknown_server"),
            "{host}{path}: {answer:?}"
        );
    }
    assert_eq!(deployment.dex.counts().discovery_fetches, 0);
    Ok(())
}

#[tokio::test]
async fn authorization_servers_and_scopes_can_be_named() -> anyhow::Result<()> {
    let servers = ["https://login.example.com", "https://dex.example.com/dex"];
    let deployment = deployment(json!({
        "resource_metadata": {"authorization_servers": servers, "scopes": ["openid", "groups"]}
    }))
    .await?;
    let answer = asked(&deployment, "mcp.example.com", "").await?;
    assert_eq!(answer.body["authorization_servers"], json!(servers));
    assert_eq!(answer.body["scopes_supported"], json!(["openid", "groups"]));
    Ok(())
}

#[tokio::test]
async fn a_resource_that_clients_could_not_compare_is_a_problem_of_the_configuration() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let cases = [
        ("http://mcp.example.com/x", "must be https"),
        ("https://mcp.example.com/x?y=z", "must not contain"),
        ("https://mcp.example.com/x#y", "must not contain"),
        ("mcp.example.com", "is not an absolute URL"),
        ("https://MCP.example.com/x", "normal form"),
        ("https://mcp.example.com:443/x", "normal form"),
        ("https://mcp.example.com/a/../x", "normal form"),
        ("https://twice.example.com/", "is named twice"),
    ];
    for (resource, expected) in cases {
        let problem = deployment
            .changed(|document| {
                let twice = server("twice", "https://twice.example.com");
                document["servers"] = json!([twice, server("wrong", resource)]);
            })
            .expect_err("it is a problem")
            .to_string();
        assert!(problem.contains(expected), "{resource}: {problem}");
        assert!(problem.starts_with("line "), "{problem}");
    }
    Ok(())
}
