//! The address of a Valkey: `redis://host:port/db`, `rediss://…` for TLS, `unix:///path?db=N`. Read strictly, and the same
//! way wherever it is read: what the client would ignore in silence is refused.

use std::path::Path;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use url::{Host, Url};

/// Valkey counts its databases with this type.
const MOST_DATABASES: i64 = i32::MAX as i64;

/// Why a text is no address of a Valkey. Quotes nothing of it: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not a URL of a scheme that is known.
    #[error("is not a redis://, rediss:// or unix:// URL")]
    NotUrl,
    /// A user or password in the URL.
    #[error("holds a user or a password")]
    Credentials,
    /// No host, or one that is no name and no address.
    #[error("names no host")]
    Host,
    /// `0.0.0.0` or `::`.
    #[error("names no single host: 0.0.0.0 and :: stand for all")]
    Wildcard,
    /// Port 0.
    #[error("names port 0")]
    Port,
    /// The path is not one whole number.
    #[error("names a database that is not a whole number")]
    Database,
    /// A query parameter.
    #[error("has a parameter that is not read")]
    Parameter,
    /// A fragment.
    #[error("has a fragment (#)")]
    Fragment,
    /// A Unix socket without an absolute path.
    #[error("names no absolute path of a socket")]
    SocketPath,
    /// A Unix socket where several servers are found by host and port.
    #[error("is a Unix socket, which a Cluster or Sentinel does not have")]
    SocketAmongMany,
    /// A database in a Cluster.
    #[error("names a database, and a Cluster has only 0")]
    DatabaseInCluster,
    /// A database in the address of a further Sentinel.
    #[error("names another database than store.valkey.url")]
    OtherDatabase,
    /// TLS at one server and none at another.
    #[error("differs from store.valkey.url in TLS")]
    OtherTls,
}

impl BadAddress {
    /// How it is put right.
    #[must_use]
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Credentials => {
                "put the user into store.valkey.username, and name the password's source in store.valkey.password"
            }
            Self::Database => "write it as in redis://valkey.example.com:6379/0, or leave it out for 0",
            Self::Parameter => {
                "leave it out: control speaks protocol 3 by itself, and only unix:// takes one, ?db=1"
            }
            Self::Fragment => "leave it out: certificates are always verified",
            Self::SocketPath => "write three slashes, as in unix:///run/valkey/valkey.sock",
            Self::DatabaseInCluster => "leave the database out",
            Self::OtherDatabase => "leave the database out: the one of store.valkey.url is the primary's",
            Self::OtherTls => "use redis:// for all of them, or rediss:// for all",
            Self::NotUrl | Self::Host | Self::Wildcard | Self::Port | Self::SocketAmongMany => {
                "write it as in rediss://valkey.example.com:6379/0"
            }
        }
    }
}

/// Among which servers the one of an address stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// It is the only one.
    One,
    /// The sentinels.
    Sentinels,
    /// The nodes of a Cluster.
    Nodes,
}

/// Reads the address that comes first.
///
/// # Errors
/// [`BadAddress`].
pub fn parse(text: &str, among: Among) -> Result<ConnectionInfo, BadAddress> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::EmptyHost => BadAddress::Host,
        _ => BadAddress::NotUrl,
    })?;
    match url.scheme() {
        "redis" | "rediss" => check_tcp(&url)?,
        "unix" | "redis+unix" => check_socket(&url)?,
        _ => return Err(BadAddress::NotUrl),
    }
    // Whatever the client refuses beyond that.
    let info = url.into_connection_info().map_err(|_| BadAddress::NotUrl)?;
    if !(0..=MOST_DATABASES).contains(&info.redis_settings().db()) {
        return Err(BadAddress::Database);
    }
    match (among, info.addr()) {
        (Among::Sentinels | Among::Nodes, ConnectionAddr::Unix(_)) => Err(BadAddress::SocketAmongMany),
        (Among::Nodes, _) if info.redis_settings().db() != 0 => Err(BadAddress::DatabaseInCluster),
        _ => Ok(info),
    }
}

/// Reads the address of a further server beside `first`.
///
/// # Errors
/// [`BadAddress`].
pub fn parse_more(text: &str, among: Among, first: &ConnectionInfo) -> Result<ConnectionInfo, BadAddress> {
    let info = parse(text, among)?;
    let database = info.redis_settings().db();
    if database != 0 && database != first.redis_settings().db() {
        return Err(BadAddress::OtherDatabase);
    }
    if is_tls(&info) != is_tls(first) {
        return Err(BadAddress::OtherTls);
    }
    Ok(info)
}

fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

fn check_tcp(url: &Url) -> Result<(), BadAddress> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadAddress::Credentials);
    }
    match url.host() {
        Some(Host::Domain(name)) if is_host(name) => {}
        Some(Host::Ipv4(address)) if !address.is_unspecified() => {}
        Some(Host::Ipv6(address)) if !address.is_unspecified() => {}
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(BadAddress::Wildcard),
        Some(Host::Domain("0.0.0.0")) => return Err(BadAddress::Wildcard),
        Some(Host::Domain(_)) | None => return Err(BadAddress::Host),
    }
    if url.port() == Some(0) {
        return Err(BadAddress::Port);
    }
    if url.query().is_some() {
        return Err(BadAddress::Parameter);
    }
    if url.fragment().is_some() {
        return Err(BadAddress::Fragment);
    }
    let database = url.path().strip_prefix('/').unwrap_or(url.path());
    check_database(database)
}

/// A name as DNS and `/etc/hosts` have them; with this kind of URL an IPv4 address is one too.
fn is_host(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name != "0.0.0.0"
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        && name
            .split('.')
            .rev()
            .skip_while(|label| label.is_empty())
            .all(|label| !label.is_empty())
}

fn check_socket(url: &Url) -> Result<(), BadAddress> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadAddress::Credentials);
    }
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "user" | "pass" => return Err(BadAddress::Credentials),
            "db" if value.is_empty() => return Err(BadAddress::Database),
            "db" => check_database(&value)?,
            _ => return Err(BadAddress::Parameter),
        }
    }
    if url.fragment().is_some() {
        return Err(BadAddress::Fragment);
    }
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let path = Path::new(url.path());
    if has_host || !path.is_absolute() || path.file_name().is_none() {
        return Err(BadAddress::SocketPath);
    }
    Ok(())
}

fn check_database(text: &str) -> Result<(), BadAddress> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && (text.is_empty() || text.parse::<i64>().is_ok()) {
        Ok(())
    } else {
        Err(BadAddress::Database)
    }
}
