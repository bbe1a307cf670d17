//! Free loopback ports, for programs that cannot be asked which port they took.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// A port of 127.0.0.1 that was free a moment ago. Another process may take it before it is used: whoever starts a
/// program on it retries with another port when the program says the address is in use.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
