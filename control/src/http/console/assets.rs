//! The style sheet and the script: files of the binary, the same for every operator and without data.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};

use super::answer::with_security_headers;
use super::guard::Site;

/// The style sheet.
pub(super) const STYLE_PATH: &str = "/console/console.css";
/// The script.
pub(super) const SCRIPT_PATH: &str = "/console/console.js";

pub(super) async fn style(_: Site) -> Response {
    file(
        "text/css; charset=utf-8",
        include_str!("../../../templates/console/console.css"),
    )
}

pub(super) async fn script(_: Site) -> Response {
    file(
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/console/console.js"),
    )
}

fn file(content_type: &'static str, content: &'static str) -> Response {
    let mut response = with_security_headers(content.into_response());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // A new version of control may come at any time, and the files are small.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
