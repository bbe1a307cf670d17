//! What RFCs demand of requests and answers, one file for each kind; each test names its section.

mod client_authentication;
mod error_texts;
mod forms;
mod json_bodies;
mod messages;
mod metadata;
mod token_requests;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deployment::{Answer, Deployment, FILTER, Plan, basic};

const KUBE: &str = "https://mcp.example.com/kubernetes/mcp";
const OTHER: &str = "https://mcp.example.com/other/mcp";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// Two servers with resources beside `kubernetes`.
async fn deployment() -> anyhow::Result<Deployment> {
    let server = |name: &str, resource: &str| json!({"name": name, "resource": resource, "auth": {"forwardToken": true}});
    Deployment::start(Plan {
        servers: vec![server("kube", KUBE), server("other", OTHER)],
        ..Plan::default()
    })
    .await
}

/// A form of these parameters.
fn form(parameters: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    form.finish()
}

/// A token request for `kube` with this token and these further parameters.
fn asking(token: &str, more: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("grant_type", GRANT_TYPE),
        ("subject_token", token),
        ("subject_token_type", ID_TOKEN),
    ];
    parameters.extend(more);
    form(&parameters)
}

async fn asked(deployment: &Deployment, form: &str) -> anyhow::Result<Answer> {
    deployment.post_form(0, &basic("filter", FILTER), form).await
}

/// Status and OAuth error, for one comparison.
fn error(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.text("error"))
}

/// The answer to these bytes on a connection of their own: what comes until it is closed, or whole by its length.
async fn raw(deployment: &Deployment, request: &[u8]) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(deployment.urls[0].trim_start_matches("http://")).await?;
    stream.write_all(request).await?;
    let mut answer = vec![0_u8; 64 * 1024];
    let count = tokio::time::timeout(std::time::Duration::from_secs(30), stream.read(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer[..count]).into_owned())
}
