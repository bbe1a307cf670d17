//! What clients find before they log in: RFC 8414 and RFC 9728 metadata, and the keys of access tokens.

use reqwest::Method;
use serde_json::{Value, json};
use tokenward_control::serve::reload::apply;

use super::stage::{HOST, ISSUER, RESOURCES, asked, asked_at, plan};
use crate::deployment::{Deployment, Plan};

const METADATA: &str = "/.well-known/oauth-authorization-server";

async fn deployment(more: Value) -> anyhow::Result<Deployment> {
    Deployment::start(plan(&more)?).await
}

#[tokio::test]
async fn the_metadata_is_that_of_the_issuer_at_the_issuers_host() -> anyhow::Result<()> {
    let deployment = deployment(json!({})).await?;
    for host in [HOST, "MCP.example.com", "mcp.example.com:443"] {
        let answer = asked_at(&deployment, host, Method::GET, METADATA).await?;
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
        assert_eq!(
            answer.body,
            json!({
                "issuer": ISSUER,
                "authorization_endpoint": "https://mcp.example.com/authorize",
                "token_endpoint": "https://mcp.example.com/token",
                "registration_endpoint": "https://mcp.example.com/register",
                "revocation_endpoint": "https://mcp.example.com/revoke",
                "jwks_uri": "https://mcp.example.com/jwks",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
                "revocation_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "revocation_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
                "client_id_metadata_document_supported": true,
                "authorization_response_iss_parameter_supported": true,
                "scopes_supported": ["mcp", "offline_access"],
                "protected_resources": RESOURCES,
            })
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(deployment.dex.counts().discovery_fetches, 0);
    Ok(())
}

#[tokio::test]
async fn registration_is_in_the_metadata_only_while_it_is_on() -> anyhow::Result<()> {
    let off = json!({"clients": {"registration": {"enabled": false}}});
    let deployment = deployment(off).await?;
    let answer = asked(&deployment, Method::GET, METADATA).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body.get("registration_endpoint"), None);
    Ok(())
}

/// A client that reads `true` presents its document and does not register.
#[tokio::test]
async fn metadata_documents_are_offered_only_where_one_can_be_accepted() -> anyhow::Result<()> {
    for (documents, offered) in [
        (json!({"hosts": "pinned"}), false),
        (json!({"hosts": []}), false),
        (json!({"hosts": "any"}), true),
        (json!({"hosts": ["client.example.com"]}), true),
    ] {
        let clients = json!({"clients": {"metadata_documents": documents}});
        let deployment = deployment(clients).await?;
        let answer = asked(&deployment, Method::GET, METADATA).await?;
        assert_eq!(
            answer.body["client_id_metadata_document_supported"], offered,
            "{documents}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn no_other_host_and_no_other_document_has_metadata() -> anyhow::Result<()> {
    let without = Deployment::start(Plan::default()).await?;
    let deployment = deployment(json!({})).await?;
    let mut answers = 0;
    for path in [METADATA, "/jwks"] {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            for host in ["mcp.example.com:8443", "other.example.com", "127.0.0.1"] {
                let answer = asked_at(&deployment, host, method.clone(), path).await?;
                assert_eq!(answer.status, 404, "{method} {host}{path}: {answer:?}");
                answers += 1;
            }
            let answer = asked(&without, method.clone(), path).await?;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            answers += 1;
        }
    }
    for path in [
        // This is no OpenID provider.
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/kubernetes",
        // The issuer has no path.
        "/.well-known/oauth-authorization-server/kubernetes",
        "/kubernetes/.well-known/oauth-authorization-server",
    ] {
        let answer = asked(&deployment, Method::GET, path).await?;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        answers += 1;
    }
    assert_eq!(answers, 36);
    Ok(())
}

#[tokio::test]
async fn a_page_of_any_origin_may_read_the_metadata() -> anyhow::Result<()> {
    let deployment = deployment(json!({})).await?;
    for path in [
        METADATA,
        "/jwks",
        "/.well-known/oauth-protected-resource/kubernetes",
    ] {
        let preflight = asked(&deployment, Method::OPTIONS, path).await?;
        assert_eq!(preflight.status, 204, "{path}: {preflight:?}");
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        let listed = |name: &str| preflight.header(name).unwrap_or_default().to_owned();
        let allowed = listed("access-control-allow-headers");
        for header in [
            "authorization",
            "content-type",
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
        ] {
            assert!(
                allowed.split(", ").any(|name| name == header),
                "{path}: {allowed}"
            );
        }
        for method in ["GET", "POST", "OPTIONS"] {
            assert!(listed("access-control-allow-methods").contains(method), "{path}");
        }
        let document = asked(&deployment, Method::GET, path).await?;
        assert_eq!(document.status, 200, "{path}: {document:?}");
        let exposed = document
            .header("access-control-expose-headers")
            .unwrap_or_default();
        assert!(exposed.contains("www-authenticate"), "{path}: {exposed}");
        let head = asked(&deployment, Method::HEAD, path).await?;
        assert_eq!((head.status, head.body), (200, Value::Null), "{path}");
        let post = asked(&deployment, Method::POST, path).await?;
        assert_eq!(post.status, 405, "{path}: {post:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_server_names_our_issuer_and_the_scope_of_its_tokens() -> anyhow::Result<()> {
    let deployment = deployment(json!({})).await?;
    for (path, resource) in ["/kubernetes", "/github"].iter().zip(RESOURCES) {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let answer = asked(&deployment, Method::GET, &path).await?;
        assert_eq!(answer.body["resource"], resource, "{answer:?}");
        assert_eq!(answer.body["authorization_servers"], json!([ISSUER]));
        assert_eq!(answer.body["scopes_supported"], json!(["mcp"]));
    }
    Ok(())
}

fn key_ids(keys: &Value) -> Vec<String> {
    let keys = keys["keys"].as_array().into_iter().flatten();
    keys.filter_map(|key| Some(key["kid"].as_str()?.to_owned()))
        .collect()
}

#[tokio::test]
async fn keys_are_published_before_they_sign_and_until_their_tokens_have_expired() -> anyhow::Result<()> {
    let deployment = deployment(json!({})).await?;
    let first = asked(&deployment, Method::GET, "/jwks").await?;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"));
    let [old] = key_ids(&first.body).try_into().expect("one key");
    // SHA-256 as base64url.
    assert_eq!(old.len(), 43);
    for private in ["d", "p", "q", "k"] {
        assert_eq!(first.body["keys"][0].get(private), None);
    }
    let rotated = |current: &str, next: &str| {
        deployment.changed(|document| {
            document["authorization"]["signing_keys"] =
                json!({"current": {"file": format!("@{current}")}, "next": {"file": format!("@{next}")}});
        })
    };
    apply(deployment.service(0), rotated("signing-1", "signing-2")?)?;
    let both = key_ids(&asked(&deployment, Method::GET, "/jwks").await?.body);
    assert_eq!((both.len(), &both[0]), (2, &old));
    apply(deployment.service(0), rotated("signing-2", "signing-1")?)?;
    let swapped = key_ids(&asked(&deployment, Method::GET, "/jwks").await?.body);
    assert_eq!(swapped, [both[1].clone(), old]);
    Ok(())
}
