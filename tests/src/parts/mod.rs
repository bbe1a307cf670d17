//! The real parts of a running Tokenward: processes with their folders, ports and logs, and the programs the tests
//! start: Envoy, Valkey and the control service. Everything listens on 127.0.0.1 and ends with its guard.

mod chart;
mod control;
pub(crate) mod control_config;
mod detour;
mod dex;
mod dex_config;
mod envoy;
mod envoy_gateway;
mod envoy_start;
mod envoy_template;
mod files;
mod log_book;
mod loopback;
mod mcp_client;
mod mcp_program;
mod oci_registry;
mod oidc_provider;
mod pod;
pub mod ports;
mod process;
mod prometheus;
mod scripted;
mod stepping_clock;
pub mod tools;
mod valkey;

pub use chart::{Chart, Rendered, documents};
pub use control::Control;
pub use control_config::{ControlConfig, ControlExchange, ControlIssuer, ControlServer, ControlStore};
pub use detour::Detour;
pub use dex::RealDex;
pub use envoy::{Envoy, EnvoyConfig, EnvoyFilter, EnvoyLine, EnvoyRoute};
pub use envoy_gateway::{EnvoyGateway, EnvoyGatewayConfig};
pub use files::write_file;
pub use log_book::LogBook;
pub use loopback::{Cut, LoopbackServer, LoopbackSocket};
pub use mcp_client::{McpClient, McpSdk};
pub use mcp_program::McpProgram;
pub use oci_registry::OciRegistry;
pub use oidc_provider::{OidcProvider, OidcState, OidcTokens};
pub use pod::{Pod, Secrets};
pub use process::{Process, ProcessSpec};
pub use prometheus::{Metrics, Sample};
pub use scripted::{Script, ScriptedServer};
pub use stepping_clock::SteppingClock;
pub use valkey::Valkey;
