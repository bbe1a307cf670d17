//! Header maps: open only while Envoy holds its pointer to them.

use wasmtime::{Caller, Linker, Result};

use super::guest::{Guest, proxy_call};
use crate::headers::Headers;
use crate::ledger::Ledger;
use crate::status::Status;
use crate::vm::VmState;
use crate::wire;

type Call<'a> = Caller<'a, VmState>;

const REQUEST_HEADERS: i32 = 0;
const RESPONSE_HEADERS: i32 = 2;
const CALLOUT_HEADERS: i32 = 6;
const CALLOUT_TRAILERS: i32 = 7;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_header_map_pairs",
            |mut c: Call<'_>, kind: i32, out: i32, out_length: i32| {
                proxy_call(&mut c, "proxy_get_header_map_pairs", |guest| {
                    let Some(headers) = readable(&guest.ledger.borrow(), kind) else {
                        return Ok(Status::BadArgument);
                    };
                    let mut block = wire::encode_pairs(&headers);
                    block.truncate(guest.process.most_header_bytes.get());
                    guest.give(&block, out, out_length)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_get_header_map_size",
            |mut c: Call<'_>, kind: i32, out: i32| {
                proxy_call(&mut c, "proxy_get_header_map_size", |guest| {
                    let Some(headers) = readable(&guest.ledger.borrow(), kind) else {
                        return Ok(Status::BadArgument);
                    };
                    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
                    guest.write_u32(out, u32::try_from(bytes)?)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_get_header_map_value",
            |mut c: Call<'_>, kind: i32, name: i32, length: i32, out: i32, out_length: i32| {
                proxy_call(&mut c, "proxy_get_header_map_value", |guest| {
                    let name = guest.read(name, length)?;
                    let Some(headers) = readable(&guest.ledger.borrow(), kind) else {
                        return Ok(Status::BadArgument);
                    };
                    let Some(value) = headers.get(name) else {
                        return Ok(Status::NotFound);
                    };
                    guest.give(value, out, out_length)?;
                    Ok(Status::Ok)
                })
            },
        )?;
    define_changes(linker)
}

fn define_changes(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_set_header_map_pairs",
            |mut c: Call<'_>, kind: i32, pairs: i32, length: i32| {
                proxy_call(&mut c, "proxy_set_header_map_pairs", |guest| {
                    let Some(pairs) = wire::decode_pairs(&guest.read(pairs, length)?) else {
                        return Ok(Status::BadArgument);
                    };
                    Ok(change(guest, kind, |headers| *headers = pairs))
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_add_header_map_value",
            |mut c: Call<'_>, kind: i32, name: i32, length: i32, value: i32, value_length: i32| {
                proxy_call(&mut c, "proxy_add_header_map_value", |guest| {
                    let (name, value) = (guest.read(name, length)?, guest.read(value, value_length)?);
                    Ok(change(guest, kind, |headers| headers.add(name, value)))
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_replace_header_map_value",
            |mut c: Call<'_>, kind: i32, name: i32, length: i32, value: i32, value_length: i32| {
                proxy_call(&mut c, "proxy_replace_header_map_value", |guest| {
                    let (name, value) = (guest.read(name, length)?, guest.read(value, value_length)?);
                    Ok(change(guest, kind, |headers| headers.replace(name, value)))
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_remove_header_map_value",
            |mut c: Call<'_>, kind: i32, name: i32, length: i32| {
                proxy_call(&mut c, "proxy_remove_header_map_value", |guest| {
                    let name = guest.read(name, length)?;
                    Ok(change(guest, kind, |headers| headers.remove(name)))
                })
            },
        )?;
    Ok(())
}

/// The map that the effective context may read now.
fn readable(ledger: &Ledger, kind: i32) -> Option<Headers> {
    match kind {
        CALLOUT_HEADERS => return ledger.arrival.as_ref().map(|arrival| arrival.headers.clone()),
        CALLOUT_TRAILERS => return ledger.arrival.as_ref().map(|_| Headers::new()),
        _ => {}
    }
    let stream = ledger.effective_stream()?;
    let stream = stream.borrow();
    match kind {
        REQUEST_HEADERS if stream.request_open || stream.logging => Some(stream.request.clone()),
        RESPONSE_HEADERS if stream.response_open || stream.logging => Some(stream.response.clone()),
        _ => None,
    }
}

/// Changes the map of the effective context, if it is still open.
fn change(guest: &Guest<'_, '_>, kind: i32, change: impl FnOnce(&mut Headers)) -> Status {
    let Some(stream) = guest.ledger.borrow().effective_stream() else {
        return Status::BadArgument;
    };
    let mut stream = stream.borrow_mut();
    match kind {
        REQUEST_HEADERS if stream.request_open => change(&mut stream.request),
        RESPONSE_HEADERS if stream.response_open => change(&mut stream.response),
        _ => return Status::BadArgument,
    }
    Status::Ok
}
