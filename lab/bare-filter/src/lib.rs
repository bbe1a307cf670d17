//! A filter that reads `authorization` by one host call and lets every request go on: the bare floor of the benchmark.
//!
//! No SDK, no allocator, no callback but the one for request headers: the proxy-wasm ABI 0.2.1 by hand, as little of it as
//! Envoy accepts. Empty where the target is not `wasm32`.

#![cfg_attr(target_arch = "wasm32", no_std)]

#[cfg(target_arch = "wasm32")]
mod filter {
    #![allow(unsafe_code, reason = "the ABI is made of exported and imported C symbols")]

    use core::hint::black_box;
    use core::ptr::{addr_of_mut, null_mut};

    /// The map of request headers.
    const REQUEST_HEADERS: i32 = 0;
    /// Lets the request go on.
    const CONTINUE: i32 = 0;
    const NAME: &[u8] = b"authorization";
    /// Longer than any header that Envoy takes (60 KiB).
    const LARGEST_VALUE_BYTES: usize = 64 * 1024;

    static mut VALUE: [u8; LARGEST_VALUE_BYTES] = [0; LARGEST_VALUE_BYTES];

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_value(
            map: i32,
            name: *const u8,
            name_bytes: usize,
            value: *mut *mut u8,
            value_bytes: *mut usize,
        ) -> i32;
    }

    /// Says which ABI the module speaks.
    #[unsafe(no_mangle)]
    extern "C" fn proxy_abi_version_0_2_1() {}

    /// Where the host puts the value: always the same place, because no value outlives its request. Null when it is too small.
    #[unsafe(no_mangle)]
    extern "C" fn malloc(bytes: usize) -> *mut u8 {
        if bytes <= LARGEST_VALUE_BYTES {
            addr_of_mut!(VALUE).cast()
        } else {
            null_mut()
        }
    }

    /// Reads `authorization`.
    #[unsafe(no_mangle)]
    extern "C" fn proxy_on_request_headers(_context: i32, _count: i32, _end_of_stream: i32) -> i32 {
        let (mut value, mut bytes) = (null_mut(), 0);
        // SAFETY: the host writes an address and a length to these two places, and the value to where `malloc` says.
        unsafe {
            let name = NAME.as_ptr();
            proxy_get_header_map_value(REQUEST_HEADERS, name, NAME.len(), &raw mut value, &raw mut bytes);
        }
        black_box((value, bytes));
        CONTINUE
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }
}
