#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tokenward_fuzz_oracles::redirect_uri(data));
