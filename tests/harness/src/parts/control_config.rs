//! The configuration of a control service under test, and the files it becomes.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{ControlTls, write_file};
use crate::issuer::Issuer;
use crate::secrets;

/// 32 bytes in base64: the sealing key of every control service of a test, so that replicas can read one store.
const SEALING_KEY: &str = "dGVzdHMtc2VhbC13aXRoLXRoaXMta2V5LTMyLWJ5dGU=";

/// The file of the embedded store, in the folder of the configuration.
pub const STORE_FILE: &str = "tokenward.redb";

/// The configuration's file.
pub const CONFIG_FILE: &str = "tokenward.yaml";

/// What a control service shall do.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// Where sessions and tokens are stored.
    pub store: ControlStore,
    /// `store.deadline`.
    pub store_deadline: Option<String>,
    /// `credentials.filter`.
    pub filter_credential: SecretString,
    /// `credentials.aggregator`.
    pub aggregator_credential: SecretString,
    /// `sealing.current`: id and base64 key.
    pub sealing_key: (String, SecretString),
    /// `sealing.previous`.
    pub previous_sealing_keys: Vec<(String, SecretString)>,
    /// `issuers`.
    pub issuers: Vec<ControlIssuer>,
    /// `servers`.
    pub servers: Vec<ControlServer>,
    /// TLS of the listener.
    pub tls: Option<ControlTls>,
    /// Any other top-level setting, `("issuer_timeout", json!("2s"))`; it replaces what is set here. A text `@NAME` in it
    /// becomes the path of that file of `files`.
    pub settings: Vec<(String, Value)>,
    /// More files beside the configuration: name and content.
    pub files: Vec<(String, Vec<u8>)>,
    /// The program, where it is not the one that [`super::tools::tokenward`] finds.
    pub program: Option<PathBuf>,
    /// The process's environment, `RUST_LOG` for one.
    pub environment: Vec<(String, String)>,
    /// A place at which the process dies, `before:present`: it is the build with failpoints then.
    pub failpoint: Option<String>,
}

/// `store`.
#[derive(Debug, Clone)]
pub enum ControlStore {
    /// A file in the control service's folder; it lives through restarts.
    Embedded,
    /// A Valkey that is read for each request.
    UncachedValkey {
        /// `redis://…`
        url: String,
    },
    /// A Valkey.
    Valkey {
        /// `redis://…`
        url: String,
        /// Its password.
        password: Option<SecretString>,
    },
}

/// One of `issuers`.
#[derive(Debug, Clone)]
pub struct ControlIssuer {
    /// `issuer`.
    pub issuer: String,
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`.
    pub client_secret: SecretString,
    /// `policy`, `tolerant` or `strict`; the service's default when absent.
    pub policy: Option<String>,
    /// `token_endpoint`; from discovery when absent.
    pub token_endpoint: Option<String>,
    /// `relay`; none when absent.
    pub relay: Option<Value>,
    /// More members, or others in their place; `null` leaves one out.
    pub more: Value,
}

/// One of `servers`.
#[derive(Debug, Clone)]
pub struct ControlServer {
    /// `name`.
    pub name: String,
    /// `auth.requiredAudiences`.
    pub required_audiences: Vec<String>,
    /// `resource`: the URL that MCP clients use for it.
    pub resource: Option<String>,
    /// `auth.forward`; absent for the ID token.
    pub forward: Option<&'static str>,
    /// `auth.tokenExchange`; without it the user's own token is forwarded.
    pub exchange: Option<ControlExchange>,
}

/// `auth.tokenExchange` of a server.
#[derive(Debug, Clone)]
pub struct ControlExchange {
    /// `dexTokenEndpoint`.
    pub token_endpoint: String,
    /// `expectedIssuer`.
    pub expected_issuer: String,
    /// `connectorId`.
    pub connector_id: String,
    /// `scopes`.
    pub scopes: String,
    /// `clientCredentials.clientId`.
    pub client_id: String,
    /// `clientCredentials.clientSecret`.
    pub client_secret: SecretString,
    /// More members, or others in their place; `null` leaves one out.
    pub more: Value,
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            store: ControlStore::Embedded,
            store_deadline: None,
            filter_credential: "filter-made-up-credential".into(),
            aggregator_credential: "aggregator-made-up-credential".into(),
            sealing_key: ("k1".to_owned(), SEALING_KEY.into()),
            previous_sealing_keys: Vec::new(),
            issuers: Vec::new(),
            servers: Vec::new(),
            tls: None,
            settings: Vec::new(),
            files: Vec::new(),
            program: None,
            environment: Vec::new(),
            failpoint: None,
        }
    }
}

impl ControlConfig {
    /// With this issuer, through one of its clients.
    pub fn issuer(mut self, issuer: &impl Issuer, client_id: &str, client_secret: &str) -> Self {
        self.issuers.push(ControlIssuer {
            issuer: issuer.issuer().to_owned(),
            client_id: client_id.to_owned(),
            client_secret: client_secret.into(),
            policy: None,
            token_endpoint: None,
            relay: None,
            more: Value::Null,
        });
        self
    }

    /// With a server that gets the user's own token.
    pub fn forwarding_server(mut self, name: &str, required_audiences: &[&str]) -> Self {
        self.servers.push(ControlServer {
            name: name.to_owned(),
            required_audiences: required_audiences
                .iter()
                .map(|audience| (*audience).to_owned())
                .collect(),
            resource: None,
            forward: None,
            exchange: None,
        });
        self
    }

    /// With a server that gets a token of a remote issuer, exchanged through `connector_id` as `client_id`.
    pub fn exchanging_server(
        mut self,
        name: &str,
        remote: &impl Issuer,
        connector_id: &str,
        (client_id, client_secret): (&str, &str),
    ) -> Self {
        self.servers.push(ControlServer {
            name: name.to_owned(),
            required_audiences: vec![client_id.to_owned()],
            resource: None,
            forward: None,
            exchange: Some(ControlExchange {
                token_endpoint: remote.token_endpoint(),
                expected_issuer: remote.issuer().to_owned(),
                connector_id: connector_id.to_owned(),
                scopes: "openid profile email groups".to_owned(),
                client_id: client_id.to_owned(),
                client_secret: client_secret.into(),
                more: remote.exchange_members(connector_id),
            }),
        });
        self
    }

    /// With another value of a top-level setting.
    pub fn setting(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Writes the configuration and its files, and returns the configuration file.
    pub(super) fn write(&self, folder: &TempDir, listen: SocketAddr) -> std::io::Result<PathBuf> {
        let document = self.document(folder, listen)?;
        write_file(folder, CONFIG_FILE, text_of(&document, folder))
    }

    /// Writes the files that the configuration names, and returns it.
    pub fn document(&self, folder: &TempDir, listen: SocketAddr) -> std::io::Result<Value> {
        for (name, content) in &self.files {
            write_file(folder, name, content)?;
        }
        let secrets = SecretFiles { folder };
        let mut document = Map::new();
        document.insert("listen".to_owned(), json!(listen.to_string()));
        let credentials = json!({
            "filter": secrets.write("filter-credential", &self.filter_credential)?,
            "aggregator": secrets.write("aggregator-credential", &self.aggregator_credential)?,
        });
        document.insert("credentials".to_owned(), credentials);
        let mut store = self.store.to_json(&secrets)?;
        if let Some(deadline) = &self.store_deadline {
            store["deadline"] = json!(deadline);
        }
        document.insert("store".to_owned(), store);
        let key = |(id, key): &(String, SecretString)| {
            std::io::Result::Ok(json!({"id": id, "key": secrets.write(&format!("sealing-{id}"), key)?}))
        };
        let previous: Vec<Value> = self
            .previous_sealing_keys
            .iter()
            .map(key)
            .collect::<Result<_, _>>()?;
        document.insert(
            "sealing".to_owned(),
            json!({"current": key(&self.sealing_key)?, "previous": previous}),
        );
        let issuers = self
            .issuers
            .iter()
            .enumerate()
            .map(|(at, issuer)| issuer.to_json(at, &secrets));
        document.insert(
            "issuers".to_owned(),
            json!(issuers.collect::<Result<Vec<_>, _>>()?),
        );
        let servers = self
            .servers
            .iter()
            .enumerate()
            .map(|(at, server)| server.to_json(at, &secrets));
        document.insert(
            "servers".to_owned(),
            json!(servers.collect::<Result<Vec<_>, _>>()?),
        );
        if let Some(tls) = &self.tls {
            document.insert("tls".to_owned(), tls.listener.clone());
        }
        document.extend(self.settings.iter().cloned());
        Ok(Value::Object(document))
    }
}

/// The text of a configuration, with the paths of its files in place of `@NAME`. JSON is YAML.
pub fn text_of(document: &Value, folder: &TempDir) -> String {
    let folder = folder.path().display();
    document.to_string().replace("\"@", &format!("\"{folder}/"))
}

struct SecretFiles<'a> {
    folder: &'a TempDir,
}

impl SecretFiles<'_> {
    /// `{"file": …}` of a file with the secret.
    fn write(&self, name: &str, secret: &SecretString) -> std::io::Result<Value> {
        secrets::note(secret.expose_secret());
        Ok(json!({"file": write_file(self.folder, name, secret.expose_secret())?}))
    }
}

impl ControlStore {
    fn to_json(&self, secrets: &SecretFiles<'_>) -> std::io::Result<Value> {
        Ok(match self {
            Self::Embedded => json!({"embedded": {"path": secrets.folder.path().join(STORE_FILE)}}),
            Self::UncachedValkey { url } => json!({"valkey": {"url": url, "client_side_caching": false}}),
            Self::Valkey { url, password } => {
                let mut valkey = json!({"url": url});
                if let Some(password) = password {
                    valkey["password"] = secrets.write("valkey-password", password)?;
                }
                json!({"valkey": valkey})
            }
        })
    }
}

impl ControlIssuer {
    fn to_json(&self, at: usize, secrets: &SecretFiles<'_>) -> std::io::Result<Value> {
        let mut issuer = json!({
            "issuer": self.issuer,
            "client_id": self.client_id,
            "client_secret": secrets.write(&format!("issuer-{at}"), &self.client_secret)?,
        });
        if let Some(policy) = &self.policy {
            issuer["policy"] = json!(policy);
        }
        if let Some(endpoint) = &self.token_endpoint {
            issuer["token_endpoint"] = json!(endpoint);
        }
        if let Some(relay) = &self.relay {
            issuer["relay"] = relay.clone();
        }
        add(&mut issuer, &self.more);
        Ok(issuer)
    }
}

/// Adds the members of `more`, or puts them in the place of others; `null` leaves one out.
fn add(object: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        object[name.as_str()] = value.clone();
    }
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
}

impl ControlServer {
    fn to_json(&self, at: usize, secrets: &SecretFiles<'_>) -> std::io::Result<Value> {
        let mut auth = json!({
            "type": "oauth", "forwardToken": true, "requiredAudiences": self.required_audiences,
        });
        if let Some(forward) = self.forward {
            auth["forward"] = json!(forward);
        }
        if let Some(exchange) = &self.exchange {
            auth["tokenExchange"] = json!({
                "enabled": true,
                "dexTokenEndpoint": exchange.token_endpoint,
                "expectedIssuer": exchange.expected_issuer,
                "connectorId": exchange.connector_id,
                "scopes": exchange.scopes,
                "clientCredentials": {
                    "clientId": exchange.client_id,
                    "clientSecret": secrets.write(&format!("exchange-{at}"), &exchange.client_secret)?,
                },
            });
            add(&mut auth["tokenExchange"], &exchange.more);
        }
        let mut server = json!({"name": self.name, "auth": auth});
        if let Some(resource) = &self.resource {
            server["resource"] = json!(resource);
        }
        Ok(server)
    }
}
