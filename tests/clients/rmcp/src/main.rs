//! rmcp, the official Rust SDK, with its own OAuth client: takes the steps of its one argument and prints what happened, one
//! JSON line each. Steps and lines are those of `login/steps.mjs`.

mod login;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rmcp::model::{CallToolRequestParams, ClientConfig};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::auth::AuthClient;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, ServiceExt as _};
use serde_json::{Value, json};

use login::Login;

/// Of the lock file.
const VERSION: &str = "3.11.0";
/// A user tries a call again that often.
const TRIES: usize = 3;

type Client = RunningService<RoleClient, ClientConfig>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let order = std::env::args().nth(1).context("no steps")?;
    let order: Value = serde_json::from_str(&order)?;
    let url = order["url"].as_str().context("no url")?.to_owned();
    let port = u16::try_from(order["port"].as_u64().context("no port")?)?;
    emit(&json!({"event": "client", "name": "rmcp", "version": VERSION}));
    let mut program = Program {
        login: Login::listen(&url, port).await?,
        url,
        client: None,
    };
    program.report(&json!({"do": "connect"})).await;
    for step in order["steps"].as_array().context("no steps")? {
        program.report(step).await;
    }
    emit(&json!({"step": "end", "ok": true}));
    Ok(())
}

/// One line for the story that started this.
fn emit(line: &Value) {
    println!("{line}");
}

struct Program {
    url: String,
    login: Login,
    client: Option<Client>,
}

impl Program {
    async fn report(&mut self, step: &Value) {
        let name = &step["do"];
        match self.take(step).await {
            Ok(mut line) => {
                line["step"] = name.clone();
                line["ok"] = json!(true);
                emit(&line);
            }
            Err(error) => emit(&json!({"step": name, "ok": false, "message": format!("{error:#}")})),
        }
    }

    async fn take(&mut self, step: &Value) -> anyhow::Result<Value> {
        match step["do"].as_str() {
            Some("connect") => self.connect().await.map(|()| json!({})),
            Some("tools") => Ok(json!({"count": self.client()?.list_all_tools().await?.len()})),
            Some("call") => self.call(step).await,
            Some("until") => until(step).await,
            other => bail!("no step {other:?}"),
        }
    }

    fn client(&self) -> anyhow::Result<&Client> {
        self.client.as_ref().context("not connected")
    }

    /// Connects; a login that this takes is waited for.
    async fn connect(&mut self) -> anyhow::Result<()> {
        if let Some(client) = self.client.take() {
            client.cancel().await?;
        }
        let manager = self.login.manager().await?;
        let http = AuthClient::new(reqwest::Client::builder().no_proxy().build()?, manager);
        let config = StreamableHttpClientTransportConfig::with_uri(self.url.as_str());
        let transport = StreamableHttpClientTransport::with_client(http, config);
        self.client = Some(ClientConfig::default().serve(transport).await?);
        Ok(())
    }

    /// As a user does when trying again: rmcp reports that a login is due, and its host makes it.
    async fn call(&mut self, step: &Value) -> anyhow::Result<Value> {
        let mut failures = 0;
        loop {
            match self.call_once(step).await {
                Ok(text) => return Ok(json!({"failures": failures, "text": text})),
                Err(error) => {
                    failures += 1;
                    if failures == TRIES {
                        return Err(error);
                    }
                    let message = format!("{error:#}");
                    emit(&json!({"event": "call_failed", "message": message}));
                    if message.to_lowercase().contains("auth") {
                        self.login.forget();
                        self.connect().await?;
                    }
                }
            }
        }
    }

    async fn call_once(&self, step: &Value) -> anyhow::Result<String> {
        let name = step["name"].as_str().context("no name")?.to_owned();
        let arguments = step["arguments"].as_object().context("no arguments")?.clone();
        let parameters = CallToolRequestParams::new(name).with_arguments(arguments);
        let result = self.client()?.call_tool(parameters).await?;
        let result = serde_json::to_value(result)?;
        if result["isError"] == true {
            bail!("the tool failed: {result}");
        }
        let parts = result["content"]
            .as_array()
            .ok_or_else(|| anyhow!("no content: {result}"))?;
        let texts: Vec<_> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
        Ok(texts.join(" "))
    }
}

/// Until there is a file of this name.
async fn until(step: &Value) -> anyhow::Result<Value> {
    let file = Path::new(step["file"].as_str().context("no file")?);
    emit(&json!({"event": "idle"}));
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(json!({}))
}
