//! The callbacks that Envoy calls: those of the phases in which the filter acts, and no other. Envoy enters the VM for every
//! one that exists. `proxy_on_done` and `proxy_on_delete` do not: they would be two more for every request ([`super::vm`]
//! sweeps instead), and their absence means "done".
//!
//! The link exports exactly these (`cargo xtask build`).

use super::calls::Action;
use super::{memory, vm};

/// The version of the ABI that this module speaks; only its name matters.
#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the host returns; the filter gives it back. Null when there is none, which the host reports as failure.
#[unsafe(no_mangle)]
pub(super) extern "C" fn malloc(size: usize) -> *mut u8 {
    memory::for_host(size)
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    vm::with(|vm| vm.create(context, root));
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_on_configure(root: u32, _size: usize) -> u32 {
    vm::with(|vm| vm.configure(root));
    // Never false: what Envoy does then depends on how the filter was delivered (it exits, goes on with the old configuration
    // unnoticed, or answers 503 without a reason). The filter refuses every request and logs why.
    1
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_on_tick(root: u32) {
    vm::with(|vm| vm.tick(root));
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_on_request_headers(context: u32, _count: usize, _end_of_stream: u32) -> u32 {
    // Only a request that the filter has judged may go on.
    vm::with(|vm| vm.request_headers(context)).unwrap_or(Action::Pause) as u32
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_on_response_headers(context: u32, _count: usize, _end_of_stream: u32) -> u32 {
    vm::with(|vm| vm.response_headers(context));
    Action::Continue as u32
}

#[unsafe(no_mangle)]
pub(super) extern "C" fn proxy_on_http_call_response(
    root: u32,
    call: u32,
    headers: usize,
    body_bytes: usize,
    _trailers: usize,
) {
    vm::with(|vm| vm.call_response(root, call, headers, body_bytes));
}
