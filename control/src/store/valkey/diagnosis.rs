//! What a Valkey that does not do as asked means: a cause that may leave the process, and the cure.

use redis::{ErrorKind, RedisError};

/// Why Valkey did not do as asked. Names no host, no key and no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Obstacle<'a> {
    kind: Kind,
    /// What the message names: a command that the ACL lacks, an error code.
    named: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    MemoryFull,
    TooFewReplicas,
    Replica,
    LostPrimary,
    SnapshotFailed,
    Loading,
    ClusterDown,
    ScriptOfAnother,
    CommandNotAllowed,
    KeyNotAllowed,
    NotLetIn,
    NoSuchDatabase,
    TooManyClients,
    Refused,
    NotReached,
}

/// Longest command or error code that is repeated.
const LONGEST_NAME_BYTES: usize = 32;

impl<'a> Obstacle<'a> {
    /// What `error` means, whose text is `words`.
    pub(super) fn of(error: &RedisError, words: &'a str) -> Self {
        let plain = |kind| Self { kind, named: "" };
        let of_code = match error.code() {
            Some("OOM") => Kind::MemoryFull,
            Some("NOREPLICAS") => Kind::TooFewReplicas,
            Some("READONLY") => Kind::Replica,
            Some("MASTERDOWN") => Kind::LostPrimary,
            Some("MISCONF") => Kind::SnapshotFailed,
            Some("LOADING") => Kind::Loading,
            Some("CLUSTERDOWN") => Kind::ClusterDown,
            Some("BUSY") => Kind::ScriptOfAnother,
            Some("NOPERM") => return Self::not_allowed(words),
            Some("WRONGPASS" | "NOAUTH") => Kind::NotLetIn,
            _ => return Self::of_words(error, words),
        };
        plain(of_code)
    }

    /// What has no code of its own.
    fn of_words(error: &RedisError, words: &'a str) -> Self {
        let plain = |kind| Self { kind, named: "" };
        if words.contains("ACL failure in script") {
            return Self::not_allowed(words);
        }
        if error.kind() == ErrorKind::AuthenticationFailed {
            return plain(Kind::NotLetIn);
        }
        if words.contains("DB index is out of range")
            || words.contains("refused to switch database")
            || words.contains("SELECT is not allowed")
        {
            return plain(Kind::NoSuchDatabase);
        }
        if words.contains("max number of clients") {
            return plain(Kind::TooManyClients);
        }
        // With a pool of nodes the client wraps the node's own answer.
        for (code, kind) in [
            ("CLUSTERDOWN", Kind::ClusterDown),
            ("WRONGPASS", Kind::NotLetIn),
            ("NOAUTH", Kind::NotLetIn),
            ("NOPERM", Kind::CommandNotAllowed),
        ] {
            if words.contains(code) {
                return match kind {
                    Kind::CommandNotAllowed => Self::not_allowed(words),
                    kind => plain(kind),
                };
            }
        }
        match (error.kind(), error.code()) {
            (ErrorKind::Server(_) | ErrorKind::Extension, Some(code)) => Self {
                kind: Kind::Refused,
                named: nameable(words, code),
            },
            _ => plain(Kind::NotReached),
        }
    }

    /// The server names the command in quotes, or says that it is about a key.
    fn not_allowed(words: &'a str) -> Self {
        let command = words
            .split_once(" run the '")
            .and_then(|(_, rest)| rest.split_once('\''))
            .map(|(command, _)| command)
            .filter(|command| is_name(command));
        match command {
            Some(command) => Self {
                kind: Kind::CommandNotAllowed,
                named: command,
            },
            None if words.contains("key") => Self {
                kind: Kind::KeyNotAllowed,
                named: "",
            },
            None => Self {
                kind: Kind::CommandNotAllowed,
                named: "",
            },
        }
    }

    pub(super) fn cause(self) -> String {
        let named = self.named;
        match self.kind {
            Kind::MemoryFull => "Valkey refuses writes: its memory is full (OOM)".to_owned(),
            Kind::TooFewReplicas => {
                "Valkey refuses writes: fewer replicas follow it than min-replicas-to-write wants (NOREPLICAS)"
                    .to_owned()
            }
            Kind::Replica => "Valkey refuses writes: this server is a replica (READONLY)".to_owned(),
            Kind::LostPrimary => {
                "Valkey refuses to answer: this server is a replica that has lost its primary (MASTERDOWN)"
                    .to_owned()
            }
            Kind::SnapshotFailed => {
                "Valkey refuses writes: it could not save its last snapshot to disk (MISCONF)".to_owned()
            }
            Kind::Loading => "Valkey is still loading its data (LOADING)".to_owned(),
            Kind::ClusterDown => "the Cluster does not serve all slots (CLUSTERDOWN)".to_owned(),
            Kind::ScriptOfAnother => "a script of another client keeps Valkey busy (BUSY)".to_owned(),
            Kind::CommandNotAllowed if named.is_empty() => {
                "Valkey's ACL does not allow this user a command (NOPERM)".to_owned()
            }
            Kind::CommandNotAllowed => {
                format!("Valkey's ACL does not allow this user the command {named} (NOPERM)")
            }
            Kind::KeyNotAllowed => {
                "Valkey's ACL does not allow this user the keys under store.valkey.key_prefix (NOPERM)".to_owned()
            }
            Kind::NotLetIn => "Valkey refuses the user or the password (WRONGPASS)".to_owned(),
            Kind::NoSuchDatabase => "Valkey has no database of the number in store.valkey.url".to_owned(),
            Kind::TooManyClients => "Valkey takes no more connections (maxclients)".to_owned(),
            Kind::Refused if named.is_empty() => "Valkey refuses the operation".to_owned(),
            Kind::Refused => format!("Valkey refuses the operation ({named})"),
            Kind::NotReached => "Valkey cannot be reached".to_owned(),
        }
    }

    pub(super) const fn cure(self) -> &'static str {
        match self.kind {
            Kind::MemoryFull => {
                "raise maxmemory, or give Tokenward a Valkey of its own; keep maxmemory-policy noeviction"
            }
            Kind::TooFewReplicas => "bring the replicas back, or lower min-replicas-to-write",
            Kind::Replica | Kind::LostPrimary => {
                "let store.valkey.url lead to the primary, or configure store.valkey.sentinel"
            }
            Kind::SnapshotFailed => "make room on Valkey's disk, or see its log for why BGSAVE failed",
            Kind::Loading => "wait until it has loaded its data",
            Kind::ClusterDown => "see CLUSTER INFO: every slot needs a primary that answers",
            Kind::ScriptOfAnother => "see which client runs it; SCRIPT KILL ends it",
            Kind::CommandNotAllowed | Kind::KeyNotAllowed => {
                "give the user the ACL of docs/install.md (\"Valkey's ACL\")"
            }
            Kind::NotLetIn => {
                "compare store.valkey.username and .password with Valkey's ACL; after a change of the password restart control"
            }
            Kind::NoSuchDatabase => "use a database below Valkey's databases setting; a Cluster has only 0",
            Kind::TooManyClients => "raise maxclients, or see which clients hold connections",
            Kind::Refused => "see Valkey's own log",
            Kind::NotReached => "check the address, whether Valkey runs, TLS and the network policy",
        }
    }
}

/// `code` as it stands in `words`, when it may be repeated.
fn nameable<'a>(words: &'a str, code: &str) -> &'a str {
    words
        .find(code)
        .and_then(|at| words.get(at..at + code.len()))
        .filter(|name| is_name(name))
        .unwrap_or("")
}

fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"|_-".contains(&byte))
}
