//! An issuer's answer to a login, read far enough to learn the login from it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use http::Response;
use http::header::CONTENT_ENCODING;
use http::response::Parts;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::account::Account;
use crate::upstream::issuer::answer::body::decode;
use crate::upstream::issuer::answer::response::TokenResponse;
use crate::upstream::issuer::client::{CallFailed, MAX_RESPONSE_BYTES};

/// An issuer's answer, as it was given.
pub(crate) struct PassedAnswer {
    /// Status and header fields.
    pub(crate) head: Parts,
    /// The body, or its beginning.
    pub(crate) begun: Bytes,
    /// What follows `begun`; for the first caller that takes it.
    rest: Mutex<Option<Body>>,
    /// Whether this is a token response (RFC 6749 §5.1).
    pub(crate) has_tokens: bool,
}

impl PassedAnswer {
    /// Reads `response` until `patience` is over, and its tokens if it has some.
    ///
    /// # Errors
    /// [`CallFailed`] if the body breaks off or is late.
    pub(super) async fn read(
        response: Response<Incoming>,
        patience: Duration,
        account: &dyn Account,
    ) -> Result<(Self, Option<TokenResponse>), CallFailed> {
        let (head, mut body) = response.into_parts();
        if head.status != http::StatusCode::OK {
            return Ok((Self::unread(head, Body::new(body)), None));
        }
        let until = Instant::now() + patience;
        let mut begun = Vec::new();
        loop {
            let next = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context));
            let frame = match tokio::time::timeout_at(until, next).await {
                Err(_) => return Err(CallFailed::TimedOut),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(CallFailed::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers of a token response hold nothing.
            let data = frame.into_data().unwrap_or_default();
            let has_room = begun.len() + data.len() <= MAX_RESPONSE_BYTES && account.take(data.len());
            begun.extend_from_slice(&data);
            if !has_room {
                let rest = Mutex::new(Some(Body::new(body)));
                return Ok((
                    Self {
                        begun: begun.into(),
                        rest,
                        ..Self::unread(head, Body::empty())
                    },
                    None,
                ));
            }
        }
        let encoding = head
            .headers
            .get(CONTENT_ENCODING)
            .and_then(|name| name.to_str().ok());
        let tokens = TokenResponse::read(&decode(encoding, begun.clone(), MAX_RESPONSE_BYTES));
        let answer = Self {
            begun: begun.into(),
            rest: Mutex::default(),
            has_tokens: tokens.is_some(),
            head,
        };
        Ok((answer, tokens))
    }

    fn unread(head: Parts, body: Body) -> Self {
        Self {
            head,
            begun: Bytes::new(),
            rest: Mutex::new(Some(body)),
            has_tokens: false,
        }
    }

    /// What follows the part that was read; `None` if nothing does, or another caller has taken it.
    pub(crate) fn take_rest(&self) -> Option<Body> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
