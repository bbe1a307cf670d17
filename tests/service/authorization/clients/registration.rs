//! `POST /register`: what a client gets, and what a flood of registrations gets.

use serde_json::{Value, json};
use tokenward_control::store::Store as _;

use crate::authorization::stage::{HOST, plan, registrations};
use crate::deployment::{Answer, Deployment};

async fn register(deployment: &Deployment, body: &Value) -> anyhow::Result<Answer> {
    register_from(deployment, "192.0.2.1", body).await
}

async fn register_from(deployment: &Deployment, address: &str, body: &Value) -> anyhow::Result<Answer> {
    let request = deployment
        .http
        .post(format!("{}/register", deployment.urls[0]))
        .header("host", HOST)
        .header("content-type", "application/json")
        .header("x-forwarded-for", format!("203.0.113.66, {address}"))
        .body(body.to_string());
    deployment.request(request).await
}

fn good() -> Value {
    json!({"redirect_uris": ["http://localhost:6274/oauth/callback"], "client_name": "Inspector"})
}

#[tokio::test]
async fn a_client_gets_a_public_registration_whatever_method_it_asks_for() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(&json!({}))?).await?;
    for method in [
        json!("none"),
        json!("client_secret_basic"),
        json!("client_secret_post"),
        json!(null),
    ] {
        let mut body = good();
        body["token_endpoint_auth_method"] = method.clone();
        body["grant_types"] = json!(["authorization_code", "refresh_token", "urn:x"]);
        let answer = register(&deployment, &body).await?;
        assert_eq!(answer.status, 201, "{method}: {answer:?}");
        let client_id = answer.body["client_id"].as_str().expect("a text");
        assert!(
            client_id.starts_with("twc1.") && client_id.len() < 2048,
            "{client_id}"
        );
        let issued_at = answer.body["client_id_issued_at"].as_u64().expect("a number");
        assert_eq!(
            answer.body,
            json!({
                "client_id": client_id,
                "client_id_issued_at": issued_at,
                "client_name": "Inspector",
                "redirect_uris": ["http://localhost:6274/oauth/callback"],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            })
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(registrations(&deployment, "registered"), 4);
    Ok(())
}

#[tokio::test]
async fn the_acceptable_redirect_uris_are_kept_and_echoed() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(&json!({}))?).await?;
    let cursor = json!({"redirect_uris": [
        "cursor://anysphere.cursor-mcp/oauth/callback", "com.example.other:/cb",
        "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback",
    ]});
    let answer = register(&deployment, &cursor).await?;
    assert_eq!(answer.status, 201, "{answer:?}");
    let kept = answer.body["redirect_uris"].as_array().expect("a list");
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert!(!kept.contains(&json!("com.example.other:/cb")));
    assert_eq!(answer.body.get("client_name"), None);

    let none = json!({"redirect_uris": ["http://evil.example/cb", "javascript:alert(1)"]});
    let answer = register(&deployment, &none).await?;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (400, &json!("invalid_redirect_uri")),
        "{answer:?}"
    );
    let answer = register(
        &deployment,
        &json!({"redirect_uris": ["http://localhost/"], "client_name": 7}),
    )
    .await?;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (400, &json!("invalid_client_metadata")),
        "{answer:?}"
    );
    assert_eq!(registrations(&deployment, "invalid_redirect_uri"), 1);
    assert_eq!(registrations(&deployment, "invalid_client_metadata"), 1);
    Ok(())
}

#[tokio::test]
async fn a_flood_of_registrations_stores_nothing_and_limits_its_own_source() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(&json!({"trusted_proxies": 1}))?).await?;
    let (mut registered, mut limited) = (0, 0);
    for _ in 0..100 {
        let answer = register(&deployment, &good()).await?;
        match answer.status {
            201 => registered += 1,
            429 => {
                limited += 1;
                assert_eq!(answer.body["error"], "temporarily_unavailable", "{answer:?}");
                let seconds: u64 = answer.header("retry-after").expect("a header").parse()?;
                assert!((1..=60).contains(&seconds), "{seconds}");
            }
            other => panic!("{other}: {answer:?}"),
        }
    }
    assert_eq!((registered, limited), (60, 40));
    assert_eq!(
        (
            registrations(&deployment, "registered"),
            registrations(&deployment, "too_many")
        ),
        (60, 40)
    );
    assert_eq!(
        register_from(&deployment, "192.0.2.2", &good()).await?.status,
        201
    );
    for kind in ["client", "registration", "login_code", "login_family"] {
        let page = deployment.store().list(kind, None, 1000).await?;
        assert_eq!(page.keys, [], "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn no_client_registers_where_it_is_off() -> anyhow::Result<()> {
    let off = json!({"clients": {"registration": {"enabled": false}}});
    let deployment = Deployment::start(plan(&off)?).await?;
    let answer = register(&deployment, &good()).await?;
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (403, &json!("access_denied")),
        "{answer:?}"
    );
    assert_eq!(registrations(&deployment, "registration_off"), 1);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_no_registration_is_refused() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(&json!({}))?).await?;
    let request = |media: &'static str, body: String| {
        let request = deployment.http.post(format!("{}/register", deployment.urls[0]));
        deployment.request(
            request
                .header("host", HOST)
                .header("content-type", media)
                .body(body),
        )
    };
    let form = request("application/x-www-form-urlencoded", "redirect_uris=x".to_owned()).await?;
    assert_eq!(form.status, 415, "{form:?}");
    let large = request("application/json", " ".repeat(64 * 1024 + 1)).await?;
    assert_eq!(large.status, 413, "{large:?}");
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"redirect_uris\":[\"http://localhost/\"],\"redirect_uris\":[]}",
    ] {
        let answer = request("application/json", body.to_owned()).await?;
        assert_eq!(
            (answer.status, &answer.body["error"]),
            (400, &json!("invalid_client_metadata")),
            "{body}"
        );
    }
    Ok(())
}
