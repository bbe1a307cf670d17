//! A host call from the inside: the caller's memory, the VM's books, and what every call has in common.

use std::cell::RefCell;
use std::rc::Rc;

use wasmtime::{Caller, Error, Memory, Result};

use crate::ledger::Ledger;
use crate::process::Process;
use crate::recording::HostCall;
use crate::status::Status;
use crate::vm::VmState;

/// The calling VM while a host function runs.
pub(super) struct Guest<'a, 'b> {
    caller: &'a mut Caller<'b, VmState>,
    pub(super) process: Rc<Process>,
    pub(super) ledger: Rc<RefCell<Ledger>>,
}

/// Runs a proxy-wasm host function: refuses it during `_initialize`, lets a race's interlude go first, writes
/// the call down.
pub(super) fn proxy_call(
    caller: &mut Caller<'_, VmState>,
    function: &'static str,
    act: impl FnOnce(&mut Guest<'_, '_>) -> Result<Status>,
) -> Result<i32> {
    let mut guest = Guest::of(caller);
    if guest.ledger.borrow().restricted && function != "proxy_log" {
        return Err(Error::msg(format!(
            "restricted_callback: {function} in _initialize"
        )));
    }
    guest.make_way(function);
    let status = act(&mut guest)?;
    guest.write_down(function, Some(status));
    Ok(status as i32)
}

/// Runs a WASI function, which returns an errno.
pub(super) fn wasi_call(
    caller: &mut Caller<'_, VmState>,
    function: &'static str,
    act: impl FnOnce(&mut Guest<'_, '_>) -> Result<i32>,
) -> Result<i32> {
    let mut guest = Guest::of(caller);
    let errno = act(&mut guest)?;
    guest.write_down(function, None);
    Ok(errno)
}

impl<'a, 'b> Guest<'a, 'b> {
    fn of(caller: &'a mut Caller<'b, VmState>) -> Self {
        Self {
            process: Rc::clone(&caller.data().process),
            ledger: Rc::clone(&caller.data().ledger),
            caller,
        }
    }

    pub(super) fn state(&self) -> &VmState {
        self.caller.data()
    }

    fn make_way(&mut self, function: &'static str) {
        let due = self.process.races.borrow_mut().due(self.state().thread, function);
        due.into_iter().for_each(|interlude| interlude());
    }

    fn write_down(&mut self, function: &'static str, status: Option<Status>) {
        let call = HostCall {
            thread: self.state().thread,
            context: self.ledger.borrow().effective,
            function,
            status,
        };
        self.process.record.borrow_mut().host_calls.push(call);
    }

    /// Bytes of the module's memory. An address outside it traps: Envoy's status for that is undefined
    /// behaviour in the SDK.
    pub(super) fn read(&self, address: i32, length: i32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; unsigned(length)];
        self.memory()?
            .read(&*self.caller, unsigned(address), &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read_text(&self, address: i32, length: i32) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.read(address, length)?).into_owned())
    }

    pub(super) fn read_u32(&self, address: i32) -> Result<u32> {
        let mut word = [0; 4];
        self.memory()?.read(&*self.caller, unsigned(address), &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    pub(super) fn write(&mut self, address: i32, bytes: &[u8]) -> Result<()> {
        self.memory()?
            .write(&mut *self.caller, unsigned(address), bytes)?;
        Ok(())
    }

    pub(super) fn write_u32(&mut self, address: i32, word: u32) -> Result<()> {
        self.write(address, &word.to_le_bytes())
    }

    /// Hands bytes to the module in memory that the module itself allocates; nothing is a null pointer and 0.
    pub(super) fn give(&mut self, bytes: &[u8], address_out: i32, length_out: i32) -> Result<()> {
        let address = if bytes.is_empty() {
            0
        } else {
            self.allocate(bytes.len())?
        };
        self.write(address, bytes)?;
        self.write(address_out, &address.to_le_bytes())?;
        self.write_u32(length_out, u32::try_from(bytes.len())?)
    }

    fn allocate(&mut self, length: usize) -> Result<i32> {
        let allocate = self.state().allocate.clone();
        let allocate = allocate.ok_or_else(|| Error::msg("no export malloc or proxy_on_memory_allocate"))?;
        allocate.call(&mut *self.caller, i32::try_from(length)?)
    }

    fn memory(&self) -> Result<Memory> {
        self.state()
            .memory
            .ok_or_else(|| Error::msg("a host call before the module was instantiated"))
    }
}

/// An address or length as wasm passes it.
fn unsigned(word: i32) -> usize {
    usize::try_from(word.cast_unsigned()).expect("usize has 32 bits at least")
}
