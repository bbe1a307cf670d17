//! `/openapi.json` is true: every route is in it and no other, and every answer of every test fits it.

mod schemathesis;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tokenward_protocol::refusal::Refusal;
use tokenward_tests::openapi::{DOCUMENT, check, resolved};

use crate::authorization::stage::{HOST, plan};
use crate::deployment::{AGGREGATOR, Deployment, FILTER, Plan, basic};

const METHODS: [Method; 6] = [
    Method::GET,
    Method::OPTIONS,
    Method::PUT,
    Method::POST,
    Method::DELETE,
    Method::PATCH,
];

#[test]
fn every_route_is_documented_and_no_other() {
    // axum marks what may hold slashes; OpenAPI has no such mark.
    let routes: BTreeSet<String> = tokenward_control::http::paths()
        .into_iter()
        .map(|path| path.replace("{*", "{"))
        .collect();
    let documented: BTreeSet<String> = DOCUMENT["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .cloned()
        .collect();
    assert_eq!(routes, documented);
}

#[tokio::test]
async fn every_method_of_every_path_is_answered_as_documented() -> anyhow::Result<()> {
    let deployment = Deployment::start(plan(&json!({}))?).await?;
    let mut not_allowed = 0;
    for template in DOCUMENT["paths"].as_object().expect("paths").keys() {
        let path = template
            .replace("{id}", "none")
            .replace("{server}", "none")
            .replace("{path}", "some/path");
        for method in METHODS {
            let url = format!("{}{path}", deployment.urls[0]);
            // The answer is held against the document on its way here.
            let answer = deployment
                .request(deployment.http.request(method.clone(), url).header("host", HOST))
                .await?;
            let listed = DOCUMENT["paths"][template]
                .get(method.as_str().to_lowercase())
                .is_some();
            assert_eq!(answer.status == 405, !listed, "{method} {path}: {answer:?}");
            not_allowed += usize::from(!listed);
        }
    }
    assert!(not_allowed > 30, "only {not_allowed} methods were not allowed");
    Ok(())
}

/// An empty value is refused wherever the document requires one.
#[tokio::test]
async fn what_must_not_be_empty_is_refused_when_it_is() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let tokens = deployment.log_in("s-1").await?;
    let url = |path: &str| format!("{}{path}", deployment.urls[0]);
    let http = &deployment.http;
    let form = deployment.ask(&tokens.id_token).form();
    let login =
        json!({"issuer": deployment.dex.issuer(), "client_id": "muster", "id_token": tokens.id_token});
    let user = json!({"issuer": deployment.dex.issuer(), "subject": "x"});
    let without = |body: &Value, member: &str| {
        let mut body = body.clone();
        body[member] = json!("");
        body
    };
    let mut requests = vec![
        http.post(url("/v1/backchannel-logout"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("logout_token="),
        http.get(url("/v1/explain?server="))
            .bearer_auth(AGGREGATOR)
            .header("x-tokenward-session", "s-1"),
        http.get(url("/v1/explain?server=kubernetes"))
            .bearer_auth(AGGREGATOR)
            .header("x-tokenward-session", ""),
    ];
    for member in ["issuer", "client_id", "id_token"] {
        let put = http.put(url("/v1/sessions/s-2")).bearer_auth(AGGREGATOR);
        requests.push(put.json(&without(&login, member)));
    }
    for member in ["issuer", "subject"] {
        let sign_out = http.post(url("/v1/sign-out")).bearer_auth(AGGREGATOR);
        requests.push(sign_out.json(&without(&user, member)));
    }
    for parameter in [
        form.replace(&*tokens.id_token, ""),
        form.replace("audience=kubernetes", "audience="),
        format!("{form}&session="),
    ] {
        let ask = http
            .post(url("/oauth2/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("authorization", basic("filter", FILTER));
        requests.push(ask.body(parameter));
    }
    let documented = include_str!("../../../control/src/http/openapi.json");
    assert!(documented.matches("\"minLength\": 1").count() > requests.len());
    for request in requests {
        let answer = deployment.request(request).await?;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn it_is_served_with_the_version_and_all_its_references_lead_somewhere() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    let answer = deployment.get("/openapi.json").await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["openapi"], "3.1.0");
    assert_eq!(answer.body["info"]["version"], env!("CARGO_PKG_VERSION"));
    let (mut open, mut references) = (vec![&answer.body], 0);
    while let Some(value) = open.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            resolved(&DOCUMENT, reference);
            references += 1;
        }
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 50, "{references}");
    Ok(())
}

#[test]
fn the_errors_list_every_refusal() {
    let listed: Vec<&str> = DOCUMENT["components"]["schemas"]["Error"]["properties"]["refusal"]["enum"]
        .as_array()
        .expect("an enum")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let all: Vec<&str> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(listed, all);
}

#[test]
fn the_check_itself_finds_what_does_not_fit() {
    let error = json!({"$ref": "#/components/schemas/Error"});
    let good = json!({"error": "invalid_grant", "error_description": "x", "refusal": "needs_login"});
    assert_eq!(check(&DOCUMENT, &error, &good), Ok(()));
    let cases = [
        ("refusal", Some(json!("other"))),
        ("refusal", Some(Value::Null)),
        ("error_description", Some(json!(""))),
        ("error_description", Some(json!("a \"quoted\" word"))),
        ("error_description", Some(json!("a back\\slash"))),
        ("error", None),
        ("more", Some(json!(1))),
    ];
    for (member, change) in cases {
        let mut bad = good.clone();
        match change {
            Some(value) => bad[member] = value,
            None => drop(bad.as_object_mut().and_then(|bad| bad.remove(member))),
        }
        assert!(check(&DOCUMENT, &error, &bad).is_err(), "{bad}");
    }
    assert!(check(&DOCUMENT, &json!({"oneOf": []}), &good).is_err());
}
