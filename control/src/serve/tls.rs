//! TLS of one listener: handshakes with the certificate that is in force, which [`ListenerTls::replace`] changes for new
//! connections.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::connection::CloseReason;
use super::handshake_error::HandshakeError;
use super::progress::ConnectionProgress;
use crate::config::TlsConfig;
use crate::observe::throttle::{Emit, Throttle};
use crate::tls::{CertificateFacts, ServerIdentity};

/// Bytes of responses that rustls holds for a client that does not accept them.
const MAX_UNSENT_BYTES: usize = 16 * 1024;
/// One line a minute for each cause of failed handshakes.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// TLS of one listener. Cheap to clone; all clones share one certificate.
#[derive(Debug, Clone)]
pub struct ListenerTls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    in_force: Mutex<InForce>,
    failures: Throttle,
    began: Instant,
}

#[derive(Debug, Clone)]
struct InForce {
    identity: ServerIdentity,
    client_names: Arc<[String]>,
}

/// Whether the client has proved a name by a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientCertificate {
    /// The listener demands none.
    NotAsked,
    /// One of `tls.client_ca`, with a name of `tls.client_names` if there are any.
    Accepted,
    /// None, or one without such a name.
    Missing,
}

impl ListenerTls {
    /// Begins with the certificate of `config`.
    #[must_use]
    pub fn new(config: &TlsConfig) -> Self {
        Self(Arc::new(Shared {
            in_force: Mutex::new(InForce::of(config, config.identity.clone())),
            failures: Throttle::new(WARN_EVERY),
            began: Instant::now(),
        }))
    }

    /// Makes `identity` the certificate of new connections, with the client names of `config`. Open connections keep theirs.
    pub fn replace(&self, config: &TlsConfig, identity: ServerIdentity) {
        *self.0.in_force.lock().unwrap_or_else(PoisonError::into_inner) = InForce::of(config, identity);
    }

    /// The certificate in force.
    #[must_use]
    pub fn certificate(&self) -> CertificateFacts {
        self.in_force().identity.certificate().clone()
    }

    fn in_force(&self) -> InForce {
        self.0
            .in_force
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Does the handshake on `stream`, which must be complete at `until`; also ends when the connection is evicted or `shutdown`
    /// is cancelled. Logs why a handshake failed, once a minute for each cause.
    pub(super) async fn accept<S>(
        &self,
        stream: S,
        progress: &ConnectionProgress,
        until: Instant,
        shutdown: &CancellationToken,
    ) -> Result<(TlsStream<S>, ClientCertificate), CloseReason>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let in_force = self.in_force();
        let handshake = TlsAcceptor::from(in_force.identity.rustls()).accept_with(stream, |connection| {
            connection.set_buffer_limit(Some(MAX_UNSENT_BYTES));
        });
        let result: io::Result<TlsStream<S>> = tokio::select! {
            result = handshake => result,
            () = tokio::time::sleep_until(until) => return Err(CloseReason::Late),
            () = progress.eviction().notified() => return Err(CloseReason::Evicted),
            () = shutdown.cancelled() => return Err(CloseReason::Finished),
        };
        match result {
            Ok(stream) => {
                let certificate = in_force.judge(&stream);
                Ok((stream, certificate))
            }
            Err(error) => {
                self.log(&HandshakeError::of(&error));
                Err(CloseReason::NoHandshake)
            }
        }
    }

    fn log(&self, error: &HandshakeError) {
        let now_ms = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let hint = error.hint();
        // A client that just hangs up is a port check of a load balancer or an orchestrator.
        let emit = match error {
            HandshakeError::HungUp => Emit::Debug,
            _ => self.0.failures.failed(error.name(), now_ms),
        };
        match emit {
            Emit::Warn { suppressed } => {
                tracing::warn!(cause = %error, hint, suppressed, "a TLS handshake failed");
            }
            Emit::Debug => tracing::debug!(cause = %error, hint, "a TLS handshake failed"),
        }
    }
}

impl InForce {
    fn of(config: &TlsConfig, identity: ServerIdentity) -> Self {
        Self {
            identity,
            client_names: config.client_names.clone().into(),
        }
    }

    fn judge<S>(&self, stream: &TlsStream<S>) -> ClientCertificate {
        if !self.identity.wants_client_certificate() {
            return ClientCertificate::NotAsked;
        }
        let (_, connection) = stream.get_ref();
        let leaf = connection.peer_certificates().and_then(|chain| chain.first());
        let Some(facts) = leaf.and_then(CertificateFacts::read) else {
            return ClientCertificate::Missing;
        };
        let is_named = |names: &[String]| names.iter().any(|name| facts.names.contains(name));
        if self.client_names.is_empty() || is_named(&self.client_names) {
            ClientCertificate::Accepted
        } else {
            ClientCertificate::Missing
        }
    }
}
