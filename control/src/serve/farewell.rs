//! What a caller hears when there are as many connections as there may be: 503 at once, in words that the filter and
//! a person understand, and the end of the connection. Silence would look like an outage of the network.

use std::sync::Arc;
use std::time::Duration;

use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{MARKER_HEADER, TokenError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::http::VERSION;

/// Farewells under way at the same time; beyond them a connection is closed without a word.
const MOST: usize = 64;
/// How long one may take.
const LONGEST: Duration = Duration::from_secs(1);
/// How much of the unread request is taken in, so that closing does not reset the connection before the answer.
const MOST_UNREAD_BYTES: usize = 64 * 1024;

/// Says farewell to those who come too many.
#[derive(Debug, Clone)]
pub(super) struct Farewells(Arc<Semaphore>);

impl Default for Farewells {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Farewells {
    /// Answers 503 on `stream` and closes it, in a task of its own.
    pub(super) fn say(&self, mut stream: TcpStream) {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let _permit = permit;
            let said = async {
                stream.write_all(answer().as_bytes()).await?;
                stream.shutdown().await?;
                let mut unread = [0_u8; 4096];
                let mut left_bytes = MOST_UNREAD_BYTES;
                while left_bytes > 0 {
                    match stream.read(&mut unread).await? {
                        0 => break,
                        count => left_bytes = left_bytes.saturating_sub(count),
                    }
                }
                std::io::Result::Ok(())
            };
            // Who does not take its answer has had its chance.
            let _ = tokio::time::timeout(LONGEST, said).await;
        });
    }
}

fn answer() -> String {
    let body = TokenError {
        error: Refusal::Busy.control_error().to_owned(),
        error_description: "as many connections are open as intake.connections allows; retry shortly"
            .to_owned(),
        refusal: Refusal::Busy.name().to_owned(),
    };
    let body = serde_json::to_string(&body).unwrap_or_default();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         retry-after: 1\r\n{MARKER_HEADER}: {VERSION}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
