//! Host calls as safe functions that return the host's status instead of panicking.
//!
//! Numbers follow the ABI: proxy-wasm/spec, abi-versions/v0.2.1. Statuses are read as plain integers: a host may return one
//! that an enum would not have.

use super::memory::HostBytes;
use crate::header_map;

/// `LogLevel`, as far as the filter uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum LogLevel {
    Debug = 1,
    Info = 2,
    Warn = 3,
}

/// `MapType`, as far as the filter uses it: the headers of …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum MapType {
    Request = 0,
    Response = 2,
    CallResponse = 6,
}

/// `BufferType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum BufferType {
    CallResponseBody = 4,
    PluginConfiguration = 7,
}

/// What Envoy does with a stream after a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Action {
    Continue = 0,
    Pause = 1,
}

/// `MetricType::Counter`.
const COUNTER: u32 = 0;

/// The host's status of a call that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostStatus(pub(super) u32);

/// `NotFound`.
const NOT_FOUND: HostStatus = HostStatus(1);
/// `BadArgument`.
pub(super) const BAD_ARGUMENT: HostStatus = HostStatus(2);
/// `CasMismatch`.
pub(super) const CAS_MISMATCH: HostStatus = HostStatus(8);

type HostResult<T> = Result<T, HostStatus>;

/// `StreamType::HttpRequest`.
const HTTP_REQUEST: u32 = 0;

mod import {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, message: *const u8, length: usize) -> u32;
        pub(super) fn proxy_get_log_level(level: *mut u32) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            length: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            most: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_header_map_value(
            kind: u32,
            key: *const u8,
            key_length: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(kind: u32, key: *const u8, key_length: usize) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            kind: u32,
            key: *const u8,
            key_length: usize,
            value: *const u8,
            value_length: usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            length: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            length: usize,
            value: *const u8,
            value_length: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_continue_stream(kind: u32) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_length: usize,
            body: *const u8,
            body_length: usize,
            headers: *const u8,
            headers_length: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_http_call(
            cluster: *const u8,
            cluster_length: usize,
            headers: *const u8,
            headers_length: usize,
            body: *const u8,
            body_length: usize,
            trailers: *const u8,
            trailers_length: usize,
            timeout_ms: u32,
            call: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, length: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    }

    // Envoy offers a few WASI functions to every module, whatever its target (ENVOY `vm_config.environment_variables`).
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub(super) fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u32;
        pub(super) fn environ_get(pointers: *mut *mut u8, buffer: *mut u8) -> u32;
        pub(super) fn random_get(buffer: *mut u8, length: usize) -> u32;
    }
}

fn checked(status: u32) -> HostResult<()> {
    if status == 0 {
        Ok(())
    } else {
        Err(HostStatus(status))
    }
}

/// Takes ownership of memory that the host wrote.
fn owned(data: *mut u8, size: usize) -> HostBytes {
    // SAFETY: the ABI hands over a block of exactly `size` bytes from this module's `malloc` (exports.rs), fully written, and never
    // touches it again.
    unsafe { HostBytes::written(data, size) }
}

pub(super) fn log(level: LogLevel, line: &str) {
    // SAFETY: pointer and length of one live string. A line that cannot be written is dropped, by design.
    let _ = unsafe { import::proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// The level from which the host writes lines; `None` when it does not report one.
pub(super) fn log_level() -> Option<u32> {
    let mut level = 0;
    // SAFETY: the host writes one u32.
    checked(unsafe { import::proxy_get_log_level(&mut level) })
        .ok()
        .map(|()| level)
}

/// Nanoseconds since the Unix epoch.
pub(super) fn now_ns() -> HostResult<u64> {
    let mut time = 0;
    // SAFETY: the host writes one u64.
    checked(unsafe { import::proxy_get_current_time_nanoseconds(&mut time) }).map(|()| time)
}

pub(super) fn set_tick_period_ms(period: u32) -> HostResult<()> {
    // SAFETY: no pointers.
    checked(unsafe { import::proxy_set_tick_period_milliseconds(period) })
}

/// A property by the segments of its path, which the ABI joins with NUL; `None` when it is absent.
pub(super) fn property(segments: &[&str]) -> HostResult<Option<Vec<u8>>> {
    let path = segments.join("\0");
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: pointer and length of one live string; the host writes a pointer and a size.
    let status = unsafe { import::proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    match checked(status) {
        Ok(()) if data.is_null() => Ok(None),
        Ok(()) => Ok(Some(owned(data, size).into_vec())),
        Err(NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}

/// At most `most` bytes of a buffer.
pub(super) fn buffer(kind: BufferType, most: usize) -> HostResult<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host writes a pointer and a size.
    let status = unsafe { import::proxy_get_buffer_bytes(kind as u32, 0, most, &mut data, &mut size) };
    match checked(status) {
        Ok(()) => Ok(owned(data, size).into_vec()),
        Err(NOT_FOUND) => Ok(Vec::new()),
        Err(status) => Err(status),
    }
}

/// All headers of a map, as one block for [`header_map::read`].
pub(super) fn header_block(kind: MapType) -> HostResult<HostBytes> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the host writes a pointer and a size.
    checked(unsafe { import::proxy_get_header_map_pairs(kind as u32, &mut data, &mut size) })?;
    Ok(owned(data, size))
}

/// The first value of a header; empty when there is none.
pub(super) fn header(kind: MapType, name: &str) -> HostResult<HostBytes> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: pointer and length of one live string; the host writes a pointer and a size.
    let status = unsafe {
        import::proxy_get_header_map_value(kind as u32, name.as_ptr(), name.len(), &mut data, &mut size)
    };
    match checked(status) {
        Ok(()) => Ok(owned(data, size)),
        Err(NOT_FOUND) => Ok(HostBytes::EMPTY),
        Err(status) => Err(status),
    }
}

/// Replaces a header of the effective context's request or response.
pub(super) fn replace_header(kind: MapType, name: &str, value: &str) -> HostResult<()> {
    // SAFETY: pointers and lengths of two live strings.
    checked(unsafe {
        import::proxy_replace_header_map_value(
            kind as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes all values of a header.
pub(super) fn remove_header(kind: MapType, name: &str) -> HostResult<()> {
    // SAFETY: pointer and length of one live string.
    checked(unsafe { import::proxy_remove_header_map_value(kind as u32, name.as_ptr(), name.len()) })
}

/// Shared data and its compare-and-set number; `None` when the key was never written.
pub(super) fn shared_data(key: &str) -> HostResult<Option<(Vec<u8>, u32)>> {
    let (mut data, mut size, mut cas) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: pointer and length of one live string; the host writes a pointer, a size and a u32.
    let status =
        unsafe { import::proxy_get_shared_data(key.as_ptr(), key.len(), &mut data, &mut size, &mut cas) };
    match checked(status) {
        Ok(()) => Ok(Some((owned(data, size).into_vec(), cas))),
        Err(NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}

pub(super) fn set_shared_data(key: &str, value: &[u8], cas: u32) -> HostResult<()> {
    // SAFETY: pointers and lengths of two live blocks.
    checked(unsafe {
        import::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas)
    })
}

/// Resumes the paused request of the effective context.
pub(super) fn resume_request() -> HostResult<()> {
    // SAFETY: no pointers.
    checked(unsafe { import::proxy_continue_stream(HTTP_REQUEST) })
}

/// Replies to the request of the effective context.
pub(super) fn send_reply(status: u16, details: &str, headers: &[(&str, &str)], body: &str) -> HostResult<()> {
    let block = header_map::encode(headers);
    // SAFETY: pointers and lengths of three live blocks. -1: no gRPC status.
    checked(unsafe {
        import::proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            block.as_ptr(),
            block.len(),
            -1,
        )
    })
}

/// Starts an HTTP call; the host passes the response to `proxy_on_http_call_response` of the running context's root context,
/// even if the stream that started the call closes (cpp-host `exports.cc`, `http_call`).
pub(super) fn http_call(
    cluster: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout_ms: u32,
) -> HostResult<u32> {
    let (headers, trailers) = (header_map::encode(headers), header_map::encode(&[]));
    let mut call = 0;
    // SAFETY: pointers and lengths of four live blocks; the host writes one u32.
    let status = unsafe {
        import::proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms,
            &mut call,
        )
    };
    checked(status).map(|()| call)
}

pub(super) fn set_effective_context(context: u32) -> HostResult<()> {
    // SAFETY: no pointers.
    checked(unsafe { import::proxy_set_effective_context(context) })
}

/// Whether a context still exists. Makes it the effective one if so.
pub(super) fn stream_exists(context: u32) -> bool {
    set_effective_context(context).is_ok()
}

pub(super) fn define_counter(name: &str) -> HostResult<u32> {
    let mut id = 0;
    // SAFETY: pointer and length of one live string; the host writes one u32.
    let status = unsafe { import::proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &mut id) };
    checked(status).map(|()| id)
}

pub(super) fn increment(counter: u32, by: i64) {
    // SAFETY: no pointers. A count that the host refuses is dropped, by design.
    let _ = unsafe { import::proxy_increment_metric(counter, by) };
}

/// Random bytes from the host; `None` when it has none.
pub(super) fn random() -> Option<[u8; 16]> {
    let mut bytes = [0u8; 16];
    // SAFETY: the host writes as many bytes as the block has.
    (unsafe { import::random_get(bytes.as_mut_ptr(), bytes.len()) } == 0).then_some(bytes)
}

/// A variable of Envoy's environment, if Envoy's configuration passes it (`host_env_keys`).
pub(super) fn environment_variable(name: &str) -> Option<String> {
    let (mut count, mut size) = (0usize, 0usize);
    // SAFETY: the host writes two sizes.
    if unsafe { import::environ_sizes_get(&mut count, &mut size) } != 0 || count == 0 || size == 0 {
        return None;
    }
    let mut pointers: Vec<*mut u8> = vec![std::ptr::null_mut(); count];
    let mut block = vec![0u8; size];
    // SAFETY: both blocks have the sizes that the host just returned; the pointers are not used, only the block.
    if unsafe { import::environ_get(pointers.as_mut_ptr(), block.as_mut_ptr()) } != 0 {
        return None;
    }
    let value = block.split(|byte| *byte == 0).find_map(|variable| {
        variable
            .strip_prefix(name.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="))
    })?;
    String::from_utf8(value.to_vec()).ok()
}
