//! Tiny wasm modules, assembled byte by byte: each callback is a list of host calls. For what no Tokenward module does,
//! on the wasmtime host and in a real Envoy.

use std::collections::HashMap;

use super::{Gateway, GatewayBuilder, Headers, WasmModule, wire};

/// Where host calls put the address of what they return.
pub const OUT: i32 = 16;
/// Where they put its length.
pub const OUT_LENGTH: i32 = 20;
/// Where they put one more word.
pub const WORD: i32 = 24;
/// Where a callout puts its token.
pub const TOKEN: i32 = 28;
const DATA: usize = 1024;
const HEAP_START: usize = 65_536;
const HEAP: i64 = 65_536;
const PAGES: u8 = 4;

const I32: u8 = 0x7f;
const I64: u8 = 0x7e;

/// Arguments of a host call.
#[derive(Debug, Clone)]
pub enum Argument {
    /// A number.
    Number(i32),
    /// A 64-bit number.
    Wide(i64),
    /// Bytes in memory: becomes an address and a length.
    Bytes(Vec<u8>),
    /// A parameter of the callback.
    Parameter(u8),
    /// The word at an address, as it is then.
    Stored(i32),
}

/// One thing that a callback does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Calls a host function and drops its status.
    Call(&'static str, Vec<Argument>),
    /// Returns this from the callback.
    Return(i32),
    /// `unreachable`.
    Trap,
    /// Never returns.
    LoopForever,
}

/// A module: what it does in each callback that it exports.
#[derive(Debug, Default)]
pub struct Probe {
    callbacks: Vec<(&'static str, Vec<Step>)>,
}

/// [`Argument::Number`].
pub fn number(number: i32) -> Argument {
    Argument::Number(number)
}

/// [`Argument::Bytes`] of a text.
pub fn text(text: &str) -> Argument {
    Argument::Bytes(text.into())
}

/// Logs at INFO what the last call returned.
pub fn log_returned() -> Step {
    Step::Call(
        "proxy_log",
        vec![number(2), Argument::Stored(OUT), Argument::Stored(OUT_LENGTH)],
    )
}

/// Logs this at INFO.
pub fn log_info(message: &str) -> Step {
    Step::Call("proxy_log", vec![number(2), text(message)])
}

/// Reads a header of a map: 0 for the request's, 6 for a callout's answer.
pub fn get_header(map: i32, name: &str) -> Step {
    let arguments = vec![number(map), text(name), number(OUT), number(OUT_LENGTH)];
    Step::Call("proxy_get_header_map_value", arguments)
}

/// Writes shared data: unconditionally with the CAS 0.
pub fn set_shared(key: &str, value: impl Into<Vec<u8>>, cas: Argument) -> Step {
    Step::Call(
        "proxy_set_shared_data",
        vec![text(key), Argument::Bytes(value.into()), cas],
    )
}

/// Reads shared data.
pub fn get_shared(key: &str) -> Step {
    let arguments = vec![text(key), number(OUT), number(OUT_LENGTH), number(WORD)];
    Step::Call("proxy_get_shared_data", arguments)
}

/// A complete callout; its token is stored at [`TOKEN`].
pub fn call_out(cluster: &str, timeout_ms: i32) -> Step {
    let headers = wire::encode_pairs(&Headers::request("POST", "control", "/oauth2/token"));
    Step::Call(
        "proxy_http_call",
        vec![
            text(cluster),
            Argument::Bytes(headers),
            text("question"),
            text(""),
            number(timeout_ms),
            number(TOKEN),
        ],
    )
}

/// Lets the paused request go on.
pub fn resume() -> Step {
    Step::Call("proxy_continue_stream", vec![number(0)])
}

/// Answers the request.
pub fn reply_locally(status: i32, body: &str) -> Step {
    let none = || text("");
    Step::Call(
        "proxy_send_local_response",
        vec![number(status), none(), text(body), none(), number(-1)],
    )
}

/// The context that the probe's first request gets: the root context is 1.
pub fn as_first_stream() -> Step {
    Step::Call("proxy_set_effective_context", vec![number(2)])
}

impl Probe {
    /// A module that does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports a callback that does this.
    pub fn on(mut self, callback: &'static str, steps: impl Into<Vec<Step>>) -> Self {
        self.callbacks.push((callback, steps.into()));
        self
    }

    /// For the wasmtime host.
    ///
    /// # Panics
    /// When a callback has the wrong result: the module is not valid then.
    pub fn module(&self) -> WasmModule {
        WasmModule::from_bytes(&self.assemble()).expect("the assembler writes valid modules")
    }

    /// A gateway with the cluster `control`.
    pub fn gateway(&self) -> GatewayBuilder {
        Gateway::builder().module(self.module()).cluster("control")
    }

    /// The module's bytes.
    pub fn assemble(&self) -> Vec<u8> {
        let mut imports: Vec<(&'static str, Vec<u8>)> = Vec::new();
        for step in self.callbacks.iter().flat_map(|(_, steps)| steps) {
            if let Step::Call(name, arguments) = step
                && !imports.iter().any(|(known, _)| known == name)
            {
                imports.push((name, types_of(arguments)));
            }
        }
        let mut data = Data::default();
        let mut bodies = vec![allocator()];
        for (_, steps) in &self.callbacks {
            bodies.push(body(steps, &imports, &mut data));
        }
        let signatures = self.callbacks.iter().map(|(name, _)| signature(name));
        let mut types: Vec<Vec<u8>> = imports
            .iter()
            .map(|(_, parameters)| function_type(parameters, 1))
            .collect();
        types.push(function_type(&[I32], 1));
        types.extend(signatures.map(|(parameters, results)| function_type(&vec![I32; parameters], results)));
        let import_entries = imports.iter().enumerate().map(|(index, (name, _))| {
            let module = if name.starts_with("proxy_") {
                "env"
            } else {
                "wasi_snapshot_preview1"
            };
            [name_bytes(module), name_bytes(name), vec![0], leb(index)].concat()
        });
        let functions = imports.len()..types.len();
        let exports = std::iter::once("malloc").chain(self.callbacks.iter().map(|(name, _)| *name));
        let mut export_entries: Vec<Vec<u8>> = exports
            .zip(functions.clone())
            .map(|(name, index)| [name_bytes(name), vec![0], leb(index)].concat())
            .collect();
        export_entries.push([name_bytes("memory"), vec![2, 0]].concat());
        let heap = [&[I32, 1, 0x41][..], &signed(HEAP), &[0x0b]].concat();
        let segment = [
            &[0, 0x41][..],
            &signed(i64::try_from(DATA).expect("small")),
            &[0x0b],
            &leb(data.bytes.len()),
            &data.bytes,
        ]
        .concat();
        [
            b"\0asm\x01\0\0\0".to_vec(),
            section(1, &types),
            section(2, &import_entries.collect::<Vec<_>>()),
            section(3, &functions.map(leb).collect::<Vec<_>>()),
            section(5, &[vec![0, PAGES]]),
            section(6, &[heap]),
            section(7, &export_entries),
            section(10, &bodies),
            section(11, &[segment]),
        ]
        .concat()
    }
}

/// What the module has in memory from the start, each text once.
#[derive(Default)]
struct Data {
    bytes: Vec<u8>,
    placed: HashMap<Vec<u8>, usize>,
}

impl Data {
    fn address_of(&mut self, bytes: &[u8]) -> usize {
        if let Some(address) = self.placed.get(bytes) {
            return *address;
        }
        let address = DATA + self.bytes.len();
        assert!(
            address + bytes.len() <= HEAP_START,
            "more data than the module has room for"
        );
        self.bytes.extend(bytes);
        self.placed.insert(bytes.to_vec(), address);
        address
    }
}

/// Parameters and results of a callback.
fn signature(callback: &str) -> (usize, usize) {
    match callback {
        "_initialize" | "proxy_abi_version_0_2_1" => (0, 0),
        "proxy_on_tick" | "proxy_on_log" | "proxy_on_delete" => (1, 0),
        "proxy_on_done" => (1, 1),
        "proxy_on_context_create" | "proxy_on_queue_ready" => (2, 0),
        "proxy_on_vm_start" | "proxy_on_configure" => (2, 1),
        "proxy_on_http_call_response" => (5, 0),
        _ => (3, 1),
    }
}

fn types_of(arguments: &[Argument]) -> Vec<u8> {
    arguments
        .iter()
        .flat_map(|argument| match argument {
            Argument::Wide(_) => vec![I64],
            Argument::Bytes(_) => vec![I32, I32],
            _ => vec![I32],
        })
        .collect()
}

fn body(steps: &[Step], imports: &[(&'static str, Vec<u8>)], data: &mut Data) -> Vec<u8> {
    let mut code = vec![0];
    for step in steps {
        match step {
            Step::Return(value) => code.extend([&[0x41][..], &signed((*value).into()), &[0x0f]].concat()),
            Step::Trap => code.push(0x00),
            Step::LoopForever => code.extend([0x03, 0x40, 0x0c, 0x00, 0x0b]),
            Step::Call(name, arguments) => {
                for argument in arguments {
                    code.extend(push(argument, data));
                }
                let index = imports
                    .iter()
                    .position(|(known, _)| known == name)
                    .expect("collected before");
                code.extend([&[0x10][..], &leb(index), &[0x1a]].concat());
            }
        }
    }
    // A callback with a result that does not return one by itself ends in `unreachable`.
    if matches!(steps.last(), Some(Step::Return(_) | Step::LoopForever)) {
        code.push(0x00);
    }
    code.push(0x0b);
    [leb(code.len()), code].concat()
}

fn push(argument: &Argument, data: &mut Data) -> Vec<u8> {
    let constant = |value: usize| [&[0x41][..], &signed(i64::try_from(value).expect("small"))].concat();
    match argument {
        Argument::Number(value) => [&[0x41][..], &signed((*value).into())].concat(),
        Argument::Wide(value) => [&[0x42][..], &signed(*value)].concat(),
        Argument::Parameter(index) => vec![0x20, *index],
        Argument::Stored(address) => [&[0x41][..], &signed((*address).into()), &[0x28, 2, 0]].concat(),
        Argument::Bytes(bytes) => [constant(data.address_of(bytes)), constant(bytes.len())].concat(),
    }
}

/// `malloc`: hands out the heap from its start to its end and never takes anything back.
fn allocator() -> Vec<u8> {
    let code = [0, 0x23, 0, 0x23, 0, 0x20, 0, 0x6a, 0x24, 0, 0x0b];
    [leb(code.len()), code.to_vec()].concat()
}

fn function_type(parameters: &[u8], results: usize) -> Vec<u8> {
    [
        &[0x60][..],
        &leb(parameters.len()),
        parameters,
        &leb(results),
        &vec![I32; results],
    ]
    .concat()
}

fn section(id: u8, entries: &[Vec<u8>]) -> Vec<u8> {
    let content = [leb(entries.len()), entries.concat()].concat();
    [vec![id], leb(content.len()), content].concat()
}

fn name_bytes(name: &str) -> Vec<u8> {
    [leb(name.len()), name.into()].concat()
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn signed(mut value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
