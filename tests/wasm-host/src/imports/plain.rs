//! Logs, time, ticks, contexts, properties and buffers.

use wasmtime::{Caller, Linker, Result};

use super::guest::{Guest, proxy_call};
use crate::ledger::{Deferred, Direction, Ledger};
use crate::properties;
use crate::recording::{LogLevel, LogLine};
use crate::status::Status;
use crate::vm::VmState;
use crate::wire;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_log",
            |mut c: Call<'_>, level: i32, text: i32, length: i32| {
                proxy_call(&mut c, "proxy_log", |guest| log(guest, level, text, length))
            },
        )?
        .func_wrap("env", "proxy_get_log_level", |mut c: Call<'_>, out: i32| {
            proxy_call(&mut c, "proxy_get_log_level", |guest| {
                let level = guest.process.log_level.get() as i32;
                guest.write(out, &level.to_le_bytes())?;
                Ok(Status::Ok)
            })
        })?
        .func_wrap(
            "env",
            "proxy_get_current_time_nanoseconds",
            |mut c: Call<'_>, out: i32| {
                proxy_call(&mut c, "proxy_get_current_time_nanoseconds", |guest| {
                    let now_ns = guest.process.clock.borrow().now_ms() * 1_000_000;
                    guest.write(out, &now_ns.to_le_bytes())?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_tick_period_milliseconds",
            |mut c: Call<'_>, period: i32| {
                proxy_call(&mut c, "proxy_set_tick_period_milliseconds", |guest| {
                    Ok(set_tick_period(guest, period.cast_unsigned()))
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_effective_context",
            |mut c: Call<'_>, context: i32| {
                proxy_call(&mut c, "proxy_set_effective_context", |guest| {
                    let mut ledger = guest.ledger.borrow_mut();
                    if !ledger.knows(context.cast_unsigned()) {
                        return Ok(Status::BadArgument);
                    }
                    ledger.effective = context.cast_unsigned();
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap("env", "proxy_done", |mut c: Call<'_>| {
            proxy_call(&mut c, "proxy_done", |guest| {
                Ok(done(&mut guest.ledger.borrow_mut()))
            })
        })?;
    define_properties(linker)?;
    define_buffers(linker)
}

fn define_properties(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_property",
            |mut c: Call<'_>, path: i32, length: i32, out: i32, out_length: i32| {
                proxy_call(&mut c, "proxy_get_property", |guest| {
                    let path = wire::property_path(&guest.read(path, length)?);
                    match property(guest, &path) {
                        Some(value) if !value.is_empty() => {
                            guest.give(&value, out, out_length)?;
                            Ok(Status::Ok)
                        }
                        _ => Ok(Status::NotFound),
                    }
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_property",
            |mut c: Call<'_>, path: i32, length: i32, value: i32, value_length: i32| {
                proxy_call(&mut c, "proxy_set_property", |guest| {
                    let path = wire::property_path(&guest.read(path, length)?);
                    let value = guest.read(value, value_length)?;
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    let Some(stream) = guest.ledger.borrow().effective_stream() else {
                        return Ok(Status::BadArgument);
                    };
                    stream.borrow_mut().properties.set(&path, value);
                    Ok(Status::Ok)
                })
            },
        )?;
    Ok(())
}

fn define_buffers(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_buffer_bytes",
            |mut c: Call<'_>, kind: i32, start: i32, most: i32, out: i32, out_length: i32| {
                proxy_call(&mut c, "proxy_get_buffer_bytes", |guest| {
                    let Some(bytes) = buffer(guest, kind) else {
                        return Ok(Status::NotFound);
                    };
                    let start = usize::try_from(start.cast_unsigned())?.min(bytes.len());
                    let most = usize::try_from(most.cast_unsigned())?;
                    let end = start.saturating_add(most).min(bytes.len());
                    guest.give(&bytes[start..end], out, out_length)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_get_buffer_status",
            |mut c: Call<'_>, kind: i32, out_length: i32, out_flags: i32| {
                proxy_call(&mut c, "proxy_get_buffer_status", |guest| {
                    let Some(bytes) = buffer(guest, kind) else {
                        return Ok(Status::NotFound);
                    };
                    guest.write_u32(out_length, u32::try_from(bytes.len())?)?;
                    guest.write_u32(out_flags, 0)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_buffer_bytes",
            |mut c: Call<'_>, kind: i32, start: i32, length: i32, bytes: i32, bytes_length: i32| {
                proxy_call(&mut c, "proxy_set_buffer_bytes", |guest| {
                    let bytes = guest.read(bytes, bytes_length)?;
                    let start = usize::try_from(start.cast_unsigned())?;
                    let length = usize::try_from(length.cast_unsigned())?;
                    Ok(set_buffer(&guest.ledger.borrow(), kind, start, length, &bytes))
                })
            },
        )?;
    Ok(())
}

fn log(guest: &mut Guest<'_, '_>, level: i32, text: i32, length: i32) -> Result<Status> {
    let Some(level) = LogLevel::from_abi(level) else {
        return Ok(Status::BadArgument);
    };
    let message = guest.read_text(text, length)?;
    if level >= guest.process.log_level.get() {
        let line = LogLine {
            level,
            thread: guest.state().thread,
            context: guest.ledger.borrow().effective,
            elapsed_ms: guest.process.elapsed_ms(),
            message,
        };
        line.write_down(&mut guest.process.record.borrow_mut());
    }
    Ok(Status::Ok)
}

fn set_tick_period(guest: &Guest<'_, '_>, period_ms: u32) -> Status {
    let mut ledger = guest.ledger.borrow_mut();
    let root = ledger.root_of(ledger.effective);
    let now_ms = guest.process.elapsed_ms();
    if let Some(entry) = ledger.roots.get_mut(&root) {
        entry.tick_period_ms = period_ms;
        entry.tick_due_ms = (period_ms > 0).then(|| now_ms + u64::from(period_ms));
    }
    Status::Ok
}

fn done(ledger: &mut Ledger) -> Status {
    let root = ledger.effective;
    if !ledger.roots.get(&root).is_some_and(|entry| entry.shutting_down) {
        return Status::NotFound;
    }
    ledger.deferred.push_back(Deferred::DeleteRoot(root));
    Status::Ok
}

fn property(guest: &Guest<'_, '_>, path: &[String]) -> Option<Vec<u8>> {
    let shared = guest.process.properties.borrow();
    let Some(stream) = guest.ledger.borrow().effective_stream() else {
        return shared.get(path).filter(|_| properties::known_to_root(path));
    };
    let stream = stream.borrow();
    stream
        .properties
        .get(path)
        .or_else(|| properties::of_request(path, &stream.request))
        .or_else(|| shared.get(path))
}

fn buffer(guest: &Guest<'_, '_>, kind: i32) -> Option<Vec<u8>> {
    let ledger = guest.ledger.borrow();
    let stream = ledger.effective_stream();
    let stream = stream.as_ref().map(|stream| stream.borrow());
    let window = stream.as_ref().and_then(|stream| stream.body_window);
    match kind {
        0 if window == Some(Direction::Request) => stream?.request_body.clone(),
        1 if window == Some(Direction::Response) => Some(stream?.response_body.clone()),
        4 => ledger.arrival.as_ref().map(|arrival| arrival.body.clone()),
        6 => Some(guest.process.settings.vm_configuration.clone()),
        7 => {
            let root = ledger.roots.get(&ledger.root_of(ledger.effective))?;
            Some(root.plugin_configuration.clone())
        }
        _ => None,
    }
}

/// Prepends, replaces or appends, as Envoy does; anything in between is refused.
fn set_buffer(ledger: &Ledger, kind: i32, start: usize, length: usize, bytes: &[u8]) -> Status {
    let Some(stream) = ledger.effective_stream() else {
        return Status::NotFound;
    };
    let mut stream = stream.borrow_mut();
    let body = match (kind, stream.body_window) {
        (0, Some(Direction::Request)) => stream.request_body.get_or_insert_default(),
        (1, Some(Direction::Response)) => &mut stream.response_body,
        _ => return Status::NotFound,
    };
    if start == 0 && length == 0 {
        body.splice(0..0, bytes.iter().copied());
    } else if start == 0 && length >= body.len() {
        *body = bytes.to_vec();
    } else if start >= body.len() {
        body.extend(bytes);
    } else {
        return Status::BadArgument;
    }
    Status::Ok
}
