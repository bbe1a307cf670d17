//! Success: a token's gate opens, and a pair that was failing has recovered.

use super::call_permit::refund;
use super::state::Worker;
use crate::config::Server;
use crate::flight::CallCharge;
use crate::host::Host;
use crate::identity::{PairKey, TokenKey};
use crate::log::Level;
use crate::mcp_method::McpMethod;

impl<H: Host> Worker<H> {
    /// Writes a success to the pair's record: the gate of this token opens, and a pair that was failing has recovered,
    /// which is logged once for the whole Envoy. `charge` is what the call that brought it has taken, `mcp_method` what
    /// the request that works is for.
    pub(super) fn recover(
        &mut self,
        server: &Server,
        pair: &PairKey,
        token_key: &TokenKey,
        charge: CallCharge,
        mcp_method: McpMethod,
    ) {
        let (host, now_ms) = (&self.context.host, self.context.host.now_ms());
        let uncounted = self.gate_cache.remove_pair(pair);
        let recovered = self.context.memory.update(host, pair, now_ms, |record| {
            let refunded = refund(record, charge, None, now_ms);
            let opened = record.open_gate(&token_key.gate_bytes());
            let after = record.throttle.and_suppressed(uncounted).recovered();
            if let Some((throttle, _)) = after {
                record.throttle = throttle;
            }
            let line = after.and_then(|(_, line)| line);
            (refunded || opened || after.is_some(), line)
        });
        if let Ok(Some(line)) = recovered {
            host.log(Level::Info, &line.text(&server.name, pair, mcp_method));
        }
    }
}
