//! The functions of `wasi_snapshot_preview1` that Envoy offers any module.

use wasmtime::{Caller, Error, Linker, Result};

use super::guest::{Guest, wasi_call};
use crate::recording::{LogLevel, LogLine};
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

const WASI: &str = "wasi_snapshot_preview1";
const SUCCESS: i32 = 0;
const BAD_DESCRIPTOR: i32 = 8;
const INVALID: i32 = 28;
const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            WASI,
            "clock_time_get",
            |mut c: Call<'_>, clock: i32, _precision: i64, out: i32| {
                wasi_call(&mut c, "clock_time_get", |guest| {
                    let now_ms = match clock {
                        REALTIME => guest.process.clock.borrow().now_ms(),
                        MONOTONIC => guest.process.elapsed_ms(),
                        _ => return Ok(INVALID),
                    };
                    guest.write(out, &(now_ms * 1_000_000).to_le_bytes())?;
                    Ok(SUCCESS)
                })
            },
        )?
        .func_wrap(
            WASI,
            "environ_sizes_get",
            |mut c: Call<'_>, count_out: i32, bytes_out: i32| {
                wasi_call(&mut c, "environ_sizes_get", |guest| {
                    let environment = environment(guest);
                    let bytes: usize = environment.iter().map(Vec::len).sum();
                    guest.write_u32(count_out, u32::try_from(environment.len())?)?;
                    guest.write_u32(bytes_out, u32::try_from(bytes)?)?;
                    Ok(SUCCESS)
                })
            },
        )?
        .func_wrap(
            WASI,
            "environ_get",
            |mut c: Call<'_>, pointers: i32, bytes: i32| {
                wasi_call(&mut c, "environ_get", |guest| {
                    let (mut pointer, mut address) = (pointers, bytes);
                    for variable in environment(guest) {
                        guest.write(pointer, &address.to_le_bytes())?;
                        guest.write(address, &variable)?;
                        pointer += 4;
                        address += i32::try_from(variable.len())?;
                    }
                    Ok(SUCCESS)
                })
            },
        )?
        .func_wrap(WASI, "random_get", |mut c: Call<'_>, out: i32, length: i32| {
            wasi_call(&mut c, "random_get", |guest| {
                let bytes = guest.ledger.borrow_mut().random_bytes(usize::try_from(length)?);
                guest.write(out, &bytes)?;
                Ok(SUCCESS)
            })
        })?
        .func_wrap(
            WASI,
            "fd_write",
            |mut c: Call<'_>, fd: i32, parts: i32, count: i32, out: i32| {
                wasi_call(&mut c, "fd_write", |guest| print(guest, fd, parts, count, out))
            },
        )?
        .func_wrap(WASI, "proc_exit", |_: Call<'_>, code: i32| -> Result<()> {
            Err(Error::msg(format!("proc_exit({code})")))
        })?;
    Ok(())
}

/// `NAME=value` and a NUL, each.
fn environment(guest: &Guest<'_, '_>) -> Vec<Vec<u8>> {
    let variables = guest.process.settings.environment.iter();
    variables
        .map(|(name, value)| format!("{name}={value}\0").into_bytes())
        .collect()
}

/// Standard output is an INFO line, standard error an ERROR line.
fn print(guest: &mut Guest<'_, '_>, fd: i32, parts: i32, count: i32, written_out: i32) -> Result<i32> {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Ok(BAD_DESCRIPTOR),
    };
    let mut text = Vec::new();
    for index in 0..count {
        let (address, length) = (
            guest.read_u32(parts + index * 8)?,
            guest.read_u32(parts + index * 8 + 4)?,
        );
        text.extend(guest.read(address.cast_signed(), length.cast_signed())?);
    }
    guest.write_u32(written_out, u32::try_from(text.len())?)?;
    let line = LogLine {
        level,
        thread: guest.state().thread,
        context: guest.ledger.borrow().effective,
        elapsed_ms: guest.process.elapsed_ms(),
        message: String::from_utf8_lossy(&text).into_owned(),
    };
    line.write_down(&mut guest.process.record.borrow_mut());
    Ok(SUCCESS)
}
