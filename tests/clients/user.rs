//! The user of a client: opens the address that the client wants opened in a browser, allows and logs in there, and goes
//! where the authorization server leads.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokenward_harness::browser::Browser;
use tokenward_harness::issuer::http_client;
use url::Url;

/// A client that opens the browser may listen a little later.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Takes the user through the login that this line of a client wants.
pub(crate) async fn log_in(browser: &Browser, line: &Value, email: &str) -> anyhow::Result<()> {
    let start = line["url"].as_str().context("no address")?;
    open_redirect(&redirect_of(browser, start, email).await?).await
}

/// Where the login that starts at this address leads.
async fn redirect_of(browser: &Browser, start: &str, email: &str) -> anyhow::Result<Url> {
    let address = Url::parse(start)?;
    let mut parameters = address.query_pairs();
    let (_, redirect_uri) = parameters
        .find(|(name, _)| name == "redirect_uri")
        .context("no redirect_uri")?;
    let prefix = format!("{redirect_uri}?");
    let back = browser
        .log_in(start, email, |url| url.as_str().starts_with(&prefix))
        .await?;
    ensure!(
        back.query_pairs().any(|(name, _)| name == "code"),
        "no code: {back}"
    );
    Ok(back)
}

/// Opens the client's own address, as the browser does.
async fn open_redirect(address: &Url) -> anyhow::Result<()> {
    let limit = Instant::now() + LISTENS_WITHIN;
    loop {
        match http_client().get(address.clone()).send().await {
            Ok(answer) => {
                let status = answer.status();
                ensure!(status.is_success(), "the client answers {status}");
                return Ok(());
            }
            Err(error) if error.is_connect() && Instant::now() < limit => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
