//! Another list of servers replaces the one in force: what was remembered for unchanged servers stays.

use tokenward_protocol::refusal::Refusal;

use super::state::Worker;
use crate::config::BadConfig;
use crate::host::Host;
use crate::route_memo::RouteMemo;
use crate::state::Learned;
use crate::token_memo::TokenMemo;

/// `Retry-After` of requests whose server has changed while they waited.
const RETRY_AFTER_MS: u64 = 1_000;

impl<H: Host> Worker<H> {
    /// Puts a published list of servers (JSON) in force.
    ///
    /// # Errors
    /// [`BadConfig`]; the list before stays in force then.
    pub(super) fn put_servers(&mut self, learned: &mut Learned, published: &[u8]) -> Result<(), BadConfig> {
        let table = self.config.table_with(published, &mut learned.numbers)?;
        let before = std::mem::replace(&mut self.config.table, table);
        self.renew_checks();
        let table = &self.config.table;
        self.routes = RouteMemo::default();
        if !before.reads_tokens_like(table) {
            let (required, own) = (&table.required_audiences, &table.authorization_server);
            self.memo = TokenMemo::new(required.clone(), own.clone());
        }
        let mut gone = Vec::new();
        for server in before.servers.iter().filter(|server| !table.has(server)) {
            let place = gone.partition_point(|number| *number < server.number);
            gone.insert(place, server.number);
        }
        if !gone.is_empty() {
            self.replacements.remove_servers(&gone);
            self.end_flights(&gone);
        }
        Ok(())
    }

    /// Ends the calls for these servers (numbers in ascending order). Requests that wait are refused: they may return, and are
    /// judged by the new list then.
    fn end_flights(&mut self, gone: &[usize]) {
        for key in self.flights.of_servers(gone) {
            let Some(flight) = self.flights.take(&key) else {
                continue;
            };
            // No fault of the token's: what the call has taken of the allowances is given back.
            self.settle(&key, &flight, Some(Refusal::ControlUnreachable));
            self.refund_pair(&flight);
            for waiter in &flight.waiters {
                let (server, method) = (&flight.server, waiter.mcp_method);
                let reply = self.refuse_overload(server, Refusal::Busy, method, RETRY_AFTER_MS);
                // A closed stream needs no reply.
                let _ = self.context.host.reply(waiter.stream, &reply);
            }
        }
    }
}
