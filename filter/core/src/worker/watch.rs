//! What a forwarded request leaves behind for its server's response.

use std::rc::Rc;

use crate::config::Server;
use crate::identity::{PairKey, TokenKey};
use crate::mcp_method::McpMethod;
use crate::token_memo::TokenHandle;

/// What was sent to a server and is worth watching; the host stores it with the stream. A server may take hours to
/// respond, so it is of a fixed size and pins no token.
#[derive(Debug)]
pub struct Watch {
    pub(super) server: Rc<Server>,
    pub(super) pair: PairKey,
    pub(super) token_key: TokenKey,
    pub(super) token: TokenHandle,
    /// [`super::token_state::TokenState::rejections_counted`] when the request was sent.
    pub(super) rejections_counted: u32,
    pub(super) mcp_method: McpMethod,
}
