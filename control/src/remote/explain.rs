//! `tokenward explain`: `GET /v1/explain` of a running control.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::client::{Local, TlsFlags};
use super::error::{AskError, URL_VARIABLE};
use super::text;
use crate::config::Config;
use crate::http::explain::{ISSUER_HEADER, PAIR_HEADER, SESSION_HEADER, SUBJECT_HEADER};

/// In place of `--credential-file`.
const CREDENTIAL_FILE_VARIABLE: &str = "TOKENWARD_CREDENTIAL_FILE";

/// What to explain, and where control is.
#[derive(Debug, Args)]
pub struct ExplainFlags {
    /// The server's configured name. With --pair it may be left out.
    #[arg(long, required_unless_present = "pair")]
    server: Option<String>,
    /// A user: the `sub` of their ID tokens.
    #[arg(long, value_name = "SUB")]
    user: Option<String>,
    /// The user's issuer, where several are configured.
    #[arg(long, requires = "user")]
    issuer: Option<String>,
    /// A pair, as log lines name it: `pair=0f86f317`.
    #[arg(long, value_name = "DIGEST")]
    pair: Option<String>,
    /// A session: a file with its handle; `-` is standard input. A handle is a credential, so it is no argument.
    #[arg(long, value_name = "FILE")]
    session_file: Option<PathBuf>,
    /// Control's address; else $TOKENWARD_URL, else that of --config.
    #[arg(long)]
    url: Option<Url>,
    /// A file with the aggregator's credential; else $TOKENWARD_CREDENTIAL_FILE, else that of --config.
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// The configuration of that control, for its address and the aggregator's credential.
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsFlags,
    /// Print control's answer as JSON.
    #[arg(long)]
    json: bool,
}

/// Asks control and returns what to print.
///
/// # Errors
/// [`AskError`].
pub async fn explain(flags: &ExplainFlags) -> Result<String, AskError> {
    let (header, value) = flags.caller()?;
    let config = flags.config()?;
    let (url, resolved) = flags.place(config.as_ref())?;
    let credential = flags.credential(config)?;
    let client = flags.tls.client(&url, resolved.as_ref())?;
    let answer = ask(flags, (&client, &url), &credential, (header, &value)).await?;
    if flags.json {
        return Ok(format!("{answer:#}\n"));
    }
    Ok(text::explanation(&answer))
}

async fn ask(
    flags: &ExplainFlags,
    (client, base): (&reqwest::Client, &Url),
    credential: &SecretString,
    (header, value): (&'static str, &SecretString),
) -> Result<Value, AskError> {
    let mut url = base.clone();
    url.set_path(&format!("{}/v1/explain", base.path().trim_end_matches('/')));
    if let Some(server) = &flags.server {
        url.query_pairs_mut().append_pair("server", server);
    }
    let unreachable = |source: reqwest::Error| AskError::Unreachable {
        url: base.clone(),
        source: source.without_url(),
    };
    let mut request = client
        .get(url)
        .bearer_auth(credential.expose_secret())
        .header(header, value.expose_secret());
    if let Some(issuer) = &flags.issuer {
        request = request.header(ISSUER_HEADER, issuer);
    }
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let not_control = || AskError::NotControl {
        url: base.clone(),
        status,
    };
    let body: Value = response.json().await.map_err(|_| not_control())?;
    match body["error_description"].as_str() {
        _ if status == 200 => Ok(body),
        Some(description) => Err(AskError::Refused {
            status,
            description: description.to_owned(),
        }),
        None => Err(not_control()),
    }
}

impl ExplainFlags {
    /// The header that names the session, user or pair.
    fn caller(&self) -> Result<(&'static str, SecretString), AskError> {
        match (&self.user, &self.pair, &self.session_file) {
            (Some(user), None, None) => Ok((SUBJECT_HEADER, user.as_str().into())),
            (None, Some(pair), None) => Ok((PAIR_HEADER, pair.trim_start_matches("pair=").into())),
            (None, None, Some(file)) => Ok((SESSION_HEADER, secret_in(file)?)),
            _ => Err(AskError::Who),
        }
    }

    fn config(&self) -> Result<Option<Config>, AskError> {
        let load = |path: &PathBuf| {
            Config::load(path).map_err(|source| AskError::Config {
                path: path.clone(),
                source,
            })
        };
        self.config.as_ref().map(load).transpose()
    }

    /// Control's address, and where its name leads if the configuration says so.
    fn place(&self, config: Option<&Config>) -> Result<(Url, Option<(String, SocketAddr)>), AskError> {
        if let Some(url) = &self.url {
            return Ok((url.clone(), None));
        }
        if let Ok(url) = std::env::var(URL_VARIABLE) {
            return Ok((url.parse().map_err(AskError::Variable)?, None));
        }
        let missing = AskError::Where("name control's address: --url, $TOKENWARD_URL, or --config");
        let local = Local::of(config.ok_or(missing)?);
        Ok((local.url.parse().map_err(AskError::Variable)?, local.resolved))
    }

    fn credential(&self, config: Option<Config>) -> Result<SecretString, AskError> {
        let variable = || std::env::var_os(CREDENTIAL_FILE_VARIABLE).map(PathBuf::from);
        if let Some(file) = self.credential_file.clone().or_else(variable) {
            return secret_in(&file);
        }
        let missing = AskError::Where(
            "name the aggregator's credential: --credential-file, $TOKENWARD_CREDENTIAL_FILE, or --config",
        );
        Ok(config.ok_or(missing)?.credentials.aggregator)
    }
}

/// The text of a file, without white space around it.
fn secret_in(path: &Path) -> Result<SecretString, AskError> {
    let text = if path == Path::new("-") {
        io::read_to_string(io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    match text {
        Ok(text) => Ok(text.trim().into()),
        Err(source) => Err(AskError::File {
            path: path.to_owned(),
            source,
        }),
    }
}
