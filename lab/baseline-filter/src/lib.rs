//! A filter that reads `authorization` and lets every request go on: the floor of the benchmark.
//!
//! Written as the SDK's documentation has it and built as cargo builds it, so it exports every callback. Empty where
//! the target is not `wasm32`.

#[cfg(target_arch = "wasm32")]
mod filter {
    #![allow(unsafe_code, reason = "the SDK's main! exports a C symbol")]

    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root) });
    }}

    struct Root;
    struct Http;

    impl Context for Root {}

    impl RootContext for Root {
        fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Http))
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    impl Context for Http {}

    impl HttpContext for Http {
        fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
            // Opaque, or the call might be left out.
            std::hint::black_box(self.get_http_request_header_bytes("authorization"));
            Action::Continue
        }
    }
}
