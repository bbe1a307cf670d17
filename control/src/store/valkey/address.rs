//! The address of a Valkey: `redis://host:port/db`, `rediss://…` for TLS, `unix:///path?db=N`. One strict parser for all
//! uses: it rejects what the client would silently ignore.

use std::path::Path;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};
use url::{Host, Url};

/// Valkey stores database numbers in this type.
const MAX_DATABASE: i64 = i32::MAX as i64;

/// Why a text is not the address of a Valkey. Its message contains nothing of the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Not a URL with a supported scheme.
    #[error("is not a redis://, rediss:// or unix:// URL")]
    NotUrl,
    /// A user or password in the URL.
    #[error("holds a user or a password")]
    Credentials,
    /// No host, or neither a host name nor an IP address.
    #[error("has no host")]
    Host,
    /// `0.0.0.0` or `::`.
    #[error("names no single host: 0.0.0.0 and :: are wildcards")]
    Wildcard,
    /// Port 0.
    #[error("has port 0")]
    Port,
    /// The path is not one non-negative integer.
    #[error("names a database that is not a number")]
    Database,
    /// A query parameter.
    #[error("has a parameter that is not supported")]
    Parameter,
    /// A fragment.
    #[error("has a fragment (#)")]
    Fragment,
    /// A Unix socket without an absolute path.
    #[error("has no absolute path of a socket")]
    SocketPath,
    /// A Unix socket in a topology whose servers are addressed by host and port.
    #[error("is a Unix socket, which Cluster and Sentinel do not support")]
    SocketUnsupported,
    /// A database in a Cluster.
    #[error("names a database, but a Cluster has only 0")]
    DatabaseInCluster,
    /// Another database in the address of a further Sentinel.
    #[error("names another database than store.valkey.url")]
    OtherDatabase,
    /// TLS at some servers only.
    #[error("differs from store.valkey.url in TLS")]
    OtherTls,
}

impl BadAddress {
    /// How to fix it.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Credentials => {
                "set the user in store.valkey.username, and the password's source in store.valkey.password"
            }
            Self::Database => "write it as in redis://valkey.example.com:6379/0, or omit it for 0",
            Self::Parameter => "omit it: control always uses protocol 3, and only unix:// has one, ?db=1",
            Self::Fragment => "omit it: certificates are always verified",
            Self::SocketPath => "write three slashes, as in unix:///run/valkey/valkey.sock",
            Self::DatabaseInCluster => "omit the database",
            Self::OtherDatabase => "omit the database: the one of store.valkey.url is the primary's",
            Self::OtherTls => "use redis:// for all of them, or rediss:// for all",
            Self::NotUrl | Self::Host | Self::Wildcard | Self::Port | Self::SocketUnsupported => {
                "write it as in rediss://valkey.example.com:6379/0"
            }
        }
    }
}

/// The role of the server at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerRole {
    /// A standalone server.
    Standalone,
    /// A sentinel.
    Sentinel,
    /// A node of a Cluster.
    ClusterNode,
}

/// Parses the first address.
///
/// # Errors
/// [`BadAddress`].
pub fn parse(text: &str, role: ServerRole) -> Result<ConnectionInfo, BadAddress> {
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::EmptyHost => BadAddress::Host,
        _ => BadAddress::NotUrl,
    })?;
    match url.scheme() {
        "redis" | "rediss" => check_tcp(&url)?,
        "unix" | "redis+unix" => check_socket(&url)?,
        _ => return Err(BadAddress::NotUrl),
    }
    // The client may reject more.
    let info = url.into_connection_info().map_err(|_| BadAddress::NotUrl)?;
    if !(0..=MAX_DATABASE).contains(&info.redis_settings().db()) {
        return Err(BadAddress::Database);
    }
    match (role, info.addr()) {
        (ServerRole::Sentinel | ServerRole::ClusterNode, ConnectionAddr::Unix(_)) => {
            Err(BadAddress::SocketUnsupported)
        }
        (ServerRole::ClusterNode, _) if info.redis_settings().db() != 0 => Err(BadAddress::DatabaseInCluster),
        _ => Ok(info),
    }
}

/// Parses the address of a further server, to be used together with `first`.
///
/// # Errors
/// [`BadAddress`].
pub fn parse_more(
    text: &str,
    role: ServerRole,
    first: &ConnectionInfo,
) -> Result<ConnectionInfo, BadAddress> {
    let info = parse(text, role)?;
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

/// Whether `name` is a host name as in DNS and `/etc/hosts`. With these schemes an IPv4 address is parsed as a name too.
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
