//! Diagnosis of Valkey's errors: a cause for callers and a hint for operators.

use redis::{ErrorKind, RedisError};

/// Why Valkey failed an operation. Contains no host, no key and no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Diagnosis<'a> {
    kind: Kind,
    /// A name from the message: the command that the ACL denies, or an error code.
    name: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MemoryFull,
    TooFewReplicas,
    ReadOnlyReplica,
    PrimaryDown,
    SnapshotFailed,
    Loading,
    ClusterDown,
    BusyScript,
    CommandDenied,
    KeyDenied,
    AuthenticationFailed,
    NoSuchDatabase,
    TooManyClients,
    Refused,
    Unreachable,
}

/// The longest command or error code that a cause may contain.
const MAX_NAME_BYTES: usize = 32;

impl<'a> Diagnosis<'a> {
    /// Diagnoses `error`, whose text is `message`.
    pub(super) fn new(error: &RedisError, message: &'a str) -> Self {
        let kind = match error.code() {
            Some("OOM") => Kind::MemoryFull,
            Some("NOREPLICAS") => Kind::TooFewReplicas,
            Some("READONLY") => Kind::ReadOnlyReplica,
            Some("MASTERDOWN") => Kind::PrimaryDown,
            Some("MISCONF") => Kind::SnapshotFailed,
            Some("LOADING") => Kind::Loading,
            Some("CLUSTERDOWN") => Kind::ClusterDown,
            Some("BUSY") => Kind::BusyScript,
            Some("NOPERM") => return Self::denied(message),
            Some("WRONGPASS" | "NOAUTH") => Kind::AuthenticationFailed,
            _ => return Self::from_message(error, message),
        };
        Self::of(kind)
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, name: "" }
    }

    /// Diagnoses an error that has no code of its own.
    fn from_message(error: &RedisError, message: &'a str) -> Self {
        if message.contains("ACL failure in script") {
            return Self::denied(message);
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Self::of(Kind::AuthenticationFailed);
        }
        if message.contains("DB index is out of range")
            || message.contains("refused to switch database")
            || message.contains("SELECT is not allowed")
        {
            return Self::of(Kind::NoSuchDatabase);
        }
        if message.contains("max number of clients") {
            return Self::of(Kind::TooManyClients);
        }
        // The Cluster client wraps the error of a node.
        for (code, kind) in [
            ("CLUSTERDOWN", Kind::ClusterDown),
            ("WRONGPASS", Kind::AuthenticationFailed),
            ("NOAUTH", Kind::AuthenticationFailed),
            ("NOPERM", Kind::CommandDenied),
        ] {
            if message.contains(code) {
                return match kind {
                    Kind::CommandDenied => Self::denied(message),
                    kind => Self::of(kind),
                };
            }
        }
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => Self {
                kind: Kind::Refused,
                name: quotable(message, code),
            },
            _ => Self::of(Kind::Unreachable),
        }
    }

    /// The server's message contains the denied command in quotes, or mentions a key.
    fn denied(message: &'a str) -> Self {
        let command = message
            .split_once(" run the '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(command, _)| command)
            .filter(|command| is_name(command));
        match command {
            Some(command) => Self {
                kind: Kind::CommandDenied,
                name: command,
            },
            None if message.contains("key") => Self::of(Kind::KeyDenied),
            None => Self::of(Kind::CommandDenied),
        }
    }

    pub(super) fn cause(self) -> String {
        let name = self.name;
        match self.kind {
            Kind::MemoryFull => "Valkey refuses writes: its memory is full (OOM)".to_owned(),
            Kind::TooFewReplicas => {
                "Valkey refuses writes: it has fewer replicas than min-replicas-to-write wants (NOREPLICAS)"
                    .to_owned()
            }
            Kind::ReadOnlyReplica => "Valkey refuses writes: this server is a replica (READONLY)".to_owned(),
            Kind::PrimaryDown => {
                "Valkey refuses to answer: this server is a replica that has lost its primary (MASTERDOWN)"
                    .to_owned()
            }
            Kind::SnapshotFailed => {
                "Valkey refuses writes: it could not save its last snapshot to disk (MISCONF)".to_owned()
            }
            Kind::Loading => "Valkey is still loading its data (LOADING)".to_owned(),
            Kind::ClusterDown => "the Cluster does not serve all slots (CLUSTERDOWN)".to_owned(),
            Kind::BusyScript => "Valkey is busy with a script of another client (BUSY)".to_owned(),
            Kind::CommandDenied if name.is_empty() => {
                "Valkey's ACL does not allow this user a command (NOPERM)".to_owned()
            }
            Kind::CommandDenied => {
                format!("Valkey's ACL does not allow this user the command {name} (NOPERM)")
            }
            Kind::KeyDenied => {
                "Valkey's ACL does not allow this user the keys under store.valkey.key_prefix (NOPERM)"
                    .to_owned()
            }
            Kind::AuthenticationFailed => "Valkey refuses the user or the password (WRONGPASS)".to_owned(),
            Kind::NoSuchDatabase => "Valkey has no database of the number in store.valkey.url".to_owned(),
            Kind::TooManyClients => "Valkey accepts no more connections (maxclients)".to_owned(),
            Kind::Refused if name.is_empty() => "Valkey refuses the operation".to_owned(),
            Kind::Refused => format!("Valkey refuses the operation ({name})"),
            Kind::Unreachable => "Valkey cannot be reached".to_owned(),
        }
    }

    /// Whether the ACL denies the command or its key.
    pub(super) const fn is_denied(self) -> bool {
        matches!(self.kind, Kind::CommandDenied | Kind::KeyDenied)
    }

    pub(super) const fn hint(self) -> &'static str {
        match self.kind {
            Kind::MemoryFull => {
                "raise maxmemory, or give Tokenward a Valkey of its own; leave maxmemory-policy at noeviction"
            }
            Kind::TooFewReplicas => "restore the replicas, or lower min-replicas-to-write",
            Kind::ReadOnlyReplica | Kind::PrimaryDown => {
                "point store.valkey.url at the primary, or configure store.valkey.sentinel"
            }
            Kind::SnapshotFailed => "free space on Valkey's disk, or check its log for why BGSAVE failed",
            Kind::Loading => "wait until it has loaded its data",
            Kind::ClusterDown => "check CLUSTER INFO: every slot needs a primary that answers",
            Kind::BusyScript => "find the client that runs it; SCRIPT KILL ends it",
            Kind::CommandDenied | Kind::KeyDenied => {
                "give the user the ACL of docs/configuration.md (\"Valkey's ACL\")"
            }
            Kind::AuthenticationFailed => {
                "compare store.valkey.username and .password with Valkey's ACL; after a change of the password restart control"
            }
            Kind::NoSuchDatabase => "use a database below Valkey's databases setting; a Cluster has only 0",
            Kind::TooManyClients => "raise maxclients, or find the clients that hold connections",
            Kind::Refused => "check Valkey's log",
            Kind::Unreachable => "check the address, whether Valkey runs, TLS and the network policy",
        }
    }
}

/// `code` as it occurs in `message`, if a cause may contain it.
fn quotable<'a>(message: &'a str, code: &str) -> &'a str {
    message
        .find(code)
        .and_then(|at| message.get(at..at + code.len()))
        .filter(|name| is_name(name))
        .unwrap_or("")
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"|_-".contains(&byte))
}
