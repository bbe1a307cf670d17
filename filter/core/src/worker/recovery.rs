//! Success: a pair's gate opens, and a pair that was failing has recovered.

use super::Worker;
use super::call_permit::give_back;
use crate::flight::CallCharge;
use crate::host::Host;
use crate::identity::{PairKey, TokenKey};
use crate::log::Level;
use crate::log::recovery_line;
use crate::pair::throttle;

impl<H: Host> Worker<H> {
    /// Tells the pair's memory of a success: the gate of this token opens, and a pair that was failing has recovered,
    /// which is said once for the whole Envoy.
    /// `taken` is what the question that brought it has taken.
    pub(super) fn recover(
        &mut self,
        server_index: usize,
        pair: &PairKey,
        token_key: &TokenKey,
        charge: CallCharge,
    ) {
        let (now_ms, untold) = (self.host.now_ms(), self.release_pair(pair));
        let recovered = self.memory.update(&self.host, pair, now_ms, |record| {
            let given_back = give_back(record, charge, None, now_ms);
            let opened = record.open_gate(&token_key.gate_bytes());
            let after = throttle::note_success(&record.throttle.and_refused(untold));
            if let Some((throttle, _)) = after {
                record.throttle = throttle;
            }
            let line = after.and_then(|(_, line)| line);
            (given_back || opened || after.is_some(), line)
        });
        if let Ok(Some(line)) = recovered {
            self.host.log(
                Level::Info,
                &recovery_line(self.server_name(server_index), pair, line),
            );
        }
    }
}
