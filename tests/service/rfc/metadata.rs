//! Protected resource metadata: RFC 9728 §3.2, and what browsers need to read it.

use reqwest::Method;

use super::deployment;
use crate::deployment::{Answer, Deployment};

async fn asked(deployment: &Deployment, method: Method, path: &str) -> anyhow::Result<Answer> {
    let request = deployment
        .http
        .request(
            method,
            format!(
                "{}/.well-known/oauth-protected-resource{path}",
                deployment.urls[0]
            ),
        )
        .header("host", "mcp.example.com")
        .header("origin", "https://inspector.example.com")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version");
    deployment.request(request).await
}

/// RFC 9728 §3.2: 200, application/json. MCP clients in browsers send a header of their own, so they send a preflight first.
#[tokio::test]
async fn a_page_of_any_origin_may_read_the_document_and_the_refusal() -> anyhow::Result<()> {
    let deployment = deployment().await?;
    for path in ["/kubernetes/mcp", "", "/nowhere"] {
        let preflight = asked(&deployment, Method::OPTIONS, path).await?;
        assert_eq!(preflight.status, 204, "{path}: {preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        assert_eq!(
            preflight.header("access-control-allow-methods"),
            Some("GET, HEAD, POST, OPTIONS")
        );
        assert_eq!(preflight.header("allow"), Some("GET, HEAD, OPTIONS"));
        let allowed = preflight
            .header("access-control-allow-headers")
            .unwrap_or_default();
        assert!(allowed.split(", ").any(|name| name == "*"), "{allowed}");
    }
    let document = asked(&deployment, Method::GET, "/kubernetes/mcp").await?;
    assert_eq!(document.status, 200);
    assert_eq!(document.header("content-type"), Some("application/json"));
    assert_eq!(document.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(document.header("access-control-allow-origin"), Some("*"));
    let absent = asked(&deployment, Method::GET, "/nowhere").await?;
    assert_eq!(absent.status, 404);
    assert_eq!(absent.header("access-control-allow-origin"), Some("*"));
    assert_eq!(absent.header("cache-control"), Some("no-store"));
    Ok(())
}
