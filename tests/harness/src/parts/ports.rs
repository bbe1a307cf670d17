//! Loopback ports for programs that need a given port, or the same one again.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::process;
use std::sync::{Mutex, PoisonError};

/// Above the fixed ports of the programs here, and below those that kernels hand out: no connection and no server that
/// takes any free port ever gets one of these.
const PORTS: Range<u16> = 20_000..32_000;
/// Where a process begins to look depends on its id, so that tests of several processes seldom meet.
const STRIDE: u32 = 97;

/// What reserves ports for this process: the same numbers in UDP, which nothing else here uses.
static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of 127.0.0.1 that is free, and that no other caller gets from here as long as this process lives: a program may be
/// started on it, ended and started again.
///
/// # Errors
/// When all are taken.
pub fn free_port() -> io::Result<u16> {
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let count = u32::from(PORTS.end - PORTS.start);
    let first = process::id().wrapping_mul(STRIDE) % count;
    let after_last = match reserved.last() {
        Some(last) => u32::from(last.local_addr()?.port() - PORTS.start) + 1,
        None => first,
    };
    for port in (0..count).map(|step| PORTS.start + ((after_last + step) % count) as u16) {
        let Ok(claim) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        // A program that knows nothing of claims may have it.
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            reserved.push(claim);
            return Ok(port);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        "no port is free on 127.0.0.1",
    ))
}
