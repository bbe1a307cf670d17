//! TLS on control's listener: handshakes within the connections' limits, renewal without a restart, and client certificates.

mod client_certificates;
mod console;
mod explain;
mod handshakes;
mod renewal;
mod slow_readers;
mod stage;
