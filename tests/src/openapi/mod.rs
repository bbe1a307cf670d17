//! The OpenAPI document of the control service, to compare answers with.

mod schema;

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

pub use schema::{check, resolved};

use tokenward_harness::parts::tools;

/// `openapi.json`.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let path = tools::workspace().join("control/src/http/openapi.json");
    let text = std::fs::read_to_string(path).expect("openapi.json can be read");
    serde_json::from_str(&text).expect("openapi.json is JSON")
});

/// The documented path that `path` is one of, and what is documented there.
fn documented(path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object()?;
    let fits = |template: &str| match template.split_once('{') {
        None => template == path,
        Some((before, parameter)) => {
            let after = parameter.split_once('}').map_or("", |(_, after)| after);
            path.strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .is_some_and(|rest| !rest.is_empty() && (template.ends_with("{path}") || !rest.contains('/')))
        }
    };
    paths
        .iter()
        .find(|(template, _)| fits(template))
        .map(|(_, item)| item)
}

/// Compares an answer to `method` on `path` with the document.
///
/// # Panics
/// When it is not as documented.
pub fn assert_documented(method: &Method, path: &str, status: u16, content_type: Option<&str>, body: &[u8]) {
    let what = format!("{method} {path} answered {status}");
    let Some(item) = documented(path) else {
        assert_eq!(status, 404, "{what}, and the path is not documented");
        return;
    };
    // HEAD is GET, without the body.
    let (method, bodiless) = match *method {
        Method::HEAD => (&Method::GET, true),
        _ => (method, false),
    };
    let Some(operation) = item.get(method.as_str().to_lowercase()) else {
        // 404: a path of the authorization server does not exist at another host.
        assert!(
            matches!(status, 404 | 405),
            "{what}, and the method is not documented"
        );
        return;
    };
    let mut response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{what}, which is not documented");
    if let Some(reference) = response["$ref"].as_str() {
        response = schema::resolved(&DOCUMENT, reference);
    }
    let content_type = content_type.map(|value| value.split(';').next().unwrap_or_default());
    let Some(content) = response["content"].as_object() else {
        assert!(body.is_empty(), "{what} with a body");
        return;
    };
    let content_type = content_type.unwrap_or_else(|| panic!("{what} without a content type"));
    let media = content
        .get(content_type)
        .unwrap_or_else(|| panic!("{what} as {content_type}"));
    if bodiless {
        assert!(body.is_empty(), "{what} with a body");
    } else if content_type == "application/json" {
        let body: Value = serde_json::from_slice(body).unwrap_or_else(|error| panic!("{what}: {error}"));
        if let Err(misfit) = schema::check(&DOCUMENT, &media["schema"], &body) {
            panic!("{what}: {misfit}\n{body:#}");
        }
    }
}
