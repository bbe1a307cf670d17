//! The benchmark's filter without an SDK is as little as it claims: the README's ratios are compared with it.

use tokenward_harness::parts::tools;
use tokenward_wasm_host::{Gateway, Headers, Outcome, WasmModule};

/// Bytes of the module.
const AT_MOST: u64 = 1024;

#[test]
fn the_bare_filter_reads_one_header_by_one_host_call_and_changes_nothing() {
    let file = tools::bare_module().unwrap();
    let bytes = std::fs::metadata(&file).unwrap().len();
    assert!(bytes <= AT_MOST, "{bytes} bytes");
    let module = WasmModule::from_file(&file).unwrap();
    let gateway = Gateway::builder().module(module).start().unwrap();
    let request = Headers::request("GET", "mcp.example.com", "/kubernetes/mcp");
    for bearer in [
        b"Bearer token".to_vec(),
        b"Bearer \xff".to_vec(),
        vec![b'a'; 60 * 1024],
    ] {
        gateway.forget_host_calls();
        let stream = gateway
            .worker(0)
            .request(request.clone().with("authorization", bearer.clone()));
        let Outcome::Forwarded { headers } = stream.outcome() else {
            panic!("not forwarded: {:?}", stream.outcome());
        };
        assert_eq!(headers.get("authorization"), Some(&bearer[..]));
        let calls = gateway.host_calls();
        assert_eq!(calls.total(), 1, "{:?}", calls.by_function());
        println!("{} instructions, {bytes} bytes", gateway.instructions());
        assert!(gateway.instructions() < 200, "{}", gateway.instructions());
    }
    assert_eq!(gateway.forwarded().len(), 3);
    assert!(gateway.crashes().is_empty());
}
