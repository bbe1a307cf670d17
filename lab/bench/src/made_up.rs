//! Tokens by the million: of the shape and length of Dex's, but not signed. The filter does not verify
//! signatures, and the servers of this benchmark do not either.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenward_protocol::jwt::Claims;

/// Bytes of an RS256 signature with a 2048-bit key.
const SIGNATURE_BYTES: usize = 256;

/// Makes the token and the session handle of a session from its number.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    header: String,
    /// The claims before and after the subject.
    claims: (String, String),
    servers: u64,
}

impl Sessions {
    /// Sessions of `issuer` with tokens that expire at `exp_seconds`, spread over so many servers.
    pub(super) fn new(issuer: &str, audience: &str, exp_seconds: i64, servers: u64) -> Self {
        let groups: Vec<String> = (1..=10)
            .map(|number| format!("\"customer-{number:02}:engineers\""))
            .collect();
        let iat = exp_seconds - 1800;
        Self {
            header: URL_SAFE_NO_PAD
                .encode("{\"alg\":\"RS256\",\"kid\":\"8f2c1d0e9b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e\"}"),
            claims: (
                format!("{{\"iss\":\"{issuer}\",\"sub\":\""),
                format!(
                    "\",\"aud\":\"{audience}\",\"exp\":{exp_seconds},\"iat\":{iat},\"at_hash\":\"dGhpcyBpcyBub3QgaXQg\",\
                     \"email\":\"alice@example.com\",\"email_verified\":true,\"groups\":[{}],\"name\":\"alice\"}}",
                    groups.join(",")
                ),
            ),
            servers,
        }
    }

    /// Appends the request of a session, to its server.
    pub(super) fn write_request(&self, number: u64, buffer: &mut Vec<u8>) {
        self.write_request_to(number % self.servers, number, "", buffer);
    }

    /// Appends the request of a session to this server, with further header lines.
    pub(super) fn write_request_to(&self, server: u64, number: u64, headers: &str, buffer: &mut Vec<u8>) {
        let token = self.token(number);
        buffer.extend_from_slice(
            format!(
                "GET /server-{server:04}/mcp HTTP/1.1\r\nhost: mcp.example.com\r\nuser-agent: bench/1\r\n\
                 accept: application/json, text/event-stream\r\nmcp-protocol-version: 2025-11-25\r\n{headers}\
                 x-tokenward-session: 2c1a4a0e-7b2f-4c52-9a77-{number:012x}\r\nauthorization: Bearer {token}\r\n\r\n"
            )
            .as_bytes(),
        );
    }

    /// The session of a token.
    pub(super) fn number(token: &str) -> Option<u64> {
        let subject = Claims::read(token.as_bytes()).ok()?.subject;
        u64::from_str_radix(subject.strip_prefix("CiQ")?, 16).ok()
    }

    /// The token of a session.
    pub(super) fn token(&self, number: u64) -> String {
        let (before, after) = &self.claims;
        let mut token = self.header.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(format!("{before}CiQ{number:053x}{after}"), &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature(number), &mut token);
        token
    }
}

/// Bytes that look random and differ for each number (SplitMix64).
fn signature(number: u64) -> [u8; SIGNATURE_BYTES] {
    let mut state = number;
    let mut bytes = [0; SIGNATURE_BYTES];
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes
}
