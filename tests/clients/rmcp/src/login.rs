//! What rmcp asks of its host: a place for tokens, and a browser with a listener for its redirect.

use anyhow::{Context as _, anyhow};
use rmcp::transport::auth::{
    AuthorizationManager, AuthorizationRequest, InMemoryCredentialStore, OAuthState,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::emit;

const ANSWER: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 24\r\nconnection: close\r\n\r\nYou may close this page.";

/// The login of one client at one server.
pub struct Login {
    url: String,
    redirect: String,
    listener: TcpListener,
    credentials: InMemoryCredentialStore,
}

impl Login {
    /// Listens for the browser on this port.
    pub async fn listen(url: &str, port: u16) -> anyhow::Result<Self> {
        Ok(Self {
            url: url.to_owned(),
            redirect: format!("http://127.0.0.1:{port}/callback"),
            listener: TcpListener::bind(("127.0.0.1", port)).await?,
            credentials: InMemoryCredentialStore::new(),
        })
    }

    /// The next connection needs a login.
    pub fn forget(&mut self) {
        self.credentials = InMemoryCredentialStore::new();
    }

    /// A manager with a login: the one that is remembered, or a new one.
    pub async fn manager(&mut self) -> anyhow::Result<AuthorizationManager> {
        let mut manager = AuthorizationManager::new(self.url.as_str()).await?;
        manager.set_credential_store(self.credentials.clone());
        if manager.initialize_from_store().await? {
            return Ok(manager);
        }
        let mut state = OAuthState::Unauthorized(manager);
        let request = AuthorizationRequest::new(self.redirect.as_str()).with_client_name("rmcp");
        state.start_authorization(request).await?;
        emit(&json!({"event": "login_wanted", "url": state.get_authorization_url().await?}));
        state.handle_callback_url(&self.next_redirect().await?).await?;
        emit(&json!({"event": "logged_in"}));
        state
            .into_authorization_manager()
            .ok_or_else(|| anyhow!("no login came of it"))
    }

    /// The whole URL of the browser's next redirect.
    async fn next_redirect(&self) -> anyhow::Result<String> {
        loop {
            let (mut browser, _) = self.listener.accept().await?;
            let mut head = Vec::new();
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                if browser.read_buf(&mut head).await? == 0 {
                    break;
                }
            }
            browser.write_all(ANSWER.as_bytes()).await?;
            let head = String::from_utf8(head)?;
            let target = head.split(' ').nth(1).context("no request")?;
            let url = url::Url::parse(&self.redirect)?.join(target)?;
            if url.path() == "/callback" {
                return Ok(url.into());
            }
        }
    }
}
