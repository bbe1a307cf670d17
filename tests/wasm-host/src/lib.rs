//! A proxy-wasm ABI 0.2.1 host on wasmtime that behaves as Envoy 1.40 does, in virtual time and on one thread.
//!
//! - [`gateway`]: worker VMs, the main-thread VM, ticks, callouts, configuration updates, reloads;
//! - [`worker`]: one thread, where requests go in;
//! - [`stream`]: one HTTP request and what becomes of it;
//! - [`callout`]: what the module requested of an upstream cluster, and the scripted reply;
//! - [`shared_data`], [`shared_queues`], [`metrics`], [`clock`]: the parts that all VMs share;
//! - [`probe`]: tiny modules of its own, for what the filter does not do;
//! - [`race`]: run something on one VM just before another VM's k-th host call;
//! - [`story`]: the filter's own vocabulary (servers, sessions, tokens, control) on top.
//!
//! ```no_run
//! use tokenward_wasm_host::{CalloutReply, Gateway, Headers, Outcome};
//!
//! let gateway = Gateway::builder()
//!     .workers(2)
//!     .cluster("tokenward_control")
//!     .callouts(|_call| CalloutReply::answer(200).body("{}").after_ms(30).into())
//!     .plugin_configuration("{}")
//!     .start()
//!     .expect("the module accepts its configuration");
//! let stream = gateway.worker(0).request(Headers::request("POST", "mcp.example.com", "/mcp"));
//! gateway.advance_ms(30);
//! assert!(matches!(stream.outcome(), Outcome::Forwarded { .. }));
//! ```
//!
//! Not modelled: gRPC callouts (they trap, by name), foreign functions (`NotFound`), trailers, WebSocket upgrades,
//! body chunks (a body is one chunk), Envoy's `server` and `date` headers on local replies.

pub mod callout;
pub mod clock;
pub mod gateway;
mod gateway_builder;
pub mod headers;
mod imports;
mod ledger;
pub mod metrics;
pub mod module;
pub mod probe;
mod process;
pub mod properties;
pub mod race;
pub mod recording;
pub mod shared_data;
pub mod shared_queues;
pub mod status;
pub mod story;
pub mod stream;
mod stream_flow;
mod timeline;
mod vm;
pub mod wire;
pub mod worker;

pub use callout::{Callout, CalloutAnswer, CalloutReply, Dispatch};
pub use gateway::{Gateway, StartFailure};
pub use gateway_builder::{CrashPolicy, GatewayBuilder};
pub use headers::Headers;
pub use module::WasmModule;
pub use recording::{Crash, HostCall, HostCalls, LogLevel, LogLine, Thread};
pub use status::Status;
pub use stream::{ClientResponse, ForwardedRequest, Outcome, Stream, UpstreamReply};
pub use worker::Worker;
