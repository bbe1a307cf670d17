//! Resuming, answering, closing, and callouts.

use wasmtime::{Caller, Linker, Result};

use super::guest::{Guest, proxy_call};
use crate::callout::{Callout, Dispatch, Fate};
use crate::headers::Headers;
use crate::ledger::{Deferred, Direction};
use crate::process::InFlight;
use crate::status::Status;
use crate::stream::LocalReply;
use crate::vm::VmState;
use crate::wire;

type Call<'a> = Caller<'a, VmState>;

/// Addresses and lengths of `proxy_http_call`'s arguments.
struct CalloutArguments {
    cluster: (i32, i32),
    headers: (i32, i32),
    body: (i32, i32),
    timeout_ms: u32,
    token_out: i32,
}

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap("env", "proxy_continue_stream", |mut c: Call<'_>, kind: i32| {
            proxy_call(&mut c, "proxy_continue_stream", |guest| Ok(resume(guest, kind)))
        })?
        .func_wrap("env", "proxy_close_stream", |mut c: Call<'_>, kind: i32| {
            proxy_call(&mut c, "proxy_close_stream", |guest| {
                if direction(kind).is_none() {
                    return Ok(Status::BadArgument);
                }
                let mut ledger = guest.ledger.borrow_mut();
                let context = ledger.effective;
                ledger.deferred.push_back(Deferred::Close(context));
                Ok(Status::Ok)
            })
        })?
        .func_wrap(
            "env",
            "proxy_send_local_response",
            |mut c: Call<'_>,
             status: i32,
             _details: i32,
             _details_length: i32,
             body: i32,
             body_length: i32,
             headers: i32,
             headers_length: i32,
             _grpc_status: i32| {
                proxy_call(&mut c, "proxy_send_local_response", |guest| {
                    let body = guest.read(body, body_length)?;
                    let headers = wire::decode_pairs(&guest.read(headers, headers_length)?);
                    let (Some(headers), Ok(status)) = (headers, u16::try_from(status)) else {
                        return Ok(Status::BadArgument);
                    };
                    answer(
                        guest,
                        LocalReply {
                            status,
                            headers,
                            body,
                        },
                    );
                    Ok(Status::Ok)
                })
            },
        )?;
    define_callouts(linker)
}

fn define_callouts(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_http_call",
            |mut c: Call<'_>,
             cluster: i32,
             cluster_length: i32,
             headers: i32,
             headers_length: i32,
             body: i32,
             body_length: i32,
             _trailers: i32,
             _trailers_length: i32,
             timeout: i32,
             token_out: i32| {
                let arguments = CalloutArguments {
                    cluster: (cluster, cluster_length),
                    headers: (headers, headers_length),
                    body: (body, body_length),
                    timeout_ms: timeout.cast_unsigned(),
                    token_out,
                };
                proxy_call(&mut c, "proxy_http_call", |guest| call_out(guest, &arguments))
            },
        )?
        .func_wrap(
            "env",
            "proxy_get_status",
            |mut c: Call<'_>, code_out: i32, text_out: i32, text_length_out: i32| {
                proxy_call(&mut c, "proxy_get_status", |guest| {
                    let (code, text) = guest.ledger.borrow().callout_status;
                    guest.write_u32(code_out, code)?;
                    guest.give(text.as_bytes(), text_out, text_length_out)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_call_foreign_function",
            |mut c: Call<'_>,
             _name: i32,
             _length: i32,
             _argument: i32,
             _argument_length: i32,
             _out: i32,
             _l: i32| {
                proxy_call(&mut c, "proxy_call_foreign_function", |_| Ok(Status::NotFound))
            },
        )?;
    Ok(())
}

fn direction(kind: i32) -> Option<Direction> {
    match kind {
        0 => Some(Direction::Request),
        1 => Some(Direction::Response),
        _ => None,
    }
}

/// The continuing itself is deferred; the request headers are closed at once.
fn resume(guest: &Guest<'_, '_>, kind: i32) -> Status {
    let Some(direction) = direction(kind) else {
        return Status::BadArgument;
    };
    let mut ledger = guest.ledger.borrow_mut();
    let context = ledger.effective;
    if let Some(stream) = ledger.effective_stream() {
        let mut stream = stream.borrow_mut();
        stream.request_open = false;
        stream.resumes += u32::from(direction == Direction::Request);
    }
    ledger.deferred.push_back(Deferred::Continue(context, direction));
    Status::Ok
}

/// The first answer wins; on a root context or a stream that has ended it does nothing.
fn answer(guest: &Guest<'_, '_>, reply: LocalReply) {
    let mut ledger = guest.ledger.borrow_mut();
    let context = ledger.effective;
    let Some(stream) = ledger.effective_stream() else {
        return;
    };
    let mut stream = stream.borrow_mut();
    stream.local_replies += 1;
    if stream.local_replies == 1 {
        ledger.deferred.push_back(Deferred::LocalReply(context, reply));
    }
}

fn call_out(guest: &mut Guest<'_, '_>, arguments: &CalloutArguments) -> Result<Status> {
    let headers = guest.read(arguments.headers.0, arguments.headers.1)?;
    let mut callout = Callout {
        cluster: guest.read_text(arguments.cluster.0, arguments.cluster.1)?,
        headers: wire::decode_pairs(&headers).unwrap_or_default(),
        body: guest.read(arguments.body.0, arguments.body.1)?,
        timeout_ms: arguments.timeout_ms,
        thread: guest.state().thread,
        context: guest.ledger.borrow().effective,
        token: 0,
        elapsed_ms: guest.process.elapsed_ms(),
        at_ms: guest.process.clock.borrow().now_ms(),
        dispatch: Dispatch::Sent,
    };
    let fate = if !guest.process.settings.clusters.contains(&callout.cluster) {
        Fate::Inline(Dispatch::UnknownCluster)
    } else if !complete(&callout.headers) {
        Fate::Inline(Dispatch::MissingPseudoHeader)
    } else {
        guest.process.reply_to(&callout).fate(callout.timeout_ms)
    };
    let status = match fate {
        Fate::Inline(dispatch) => {
            callout.dispatch = dispatch;
            if dispatch == Dispatch::NoHost {
                Status::InternalFailure
            } else {
                Status::BadArgument
            }
        }
        Fate::Lost => {
            callout.token = send(guest, arguments)?;
            Status::Ok
        }
        Fate::Arrives { after_ms, arrival } => {
            callout.token = send(guest, arguments)?;
            let root = guest.ledger.borrow().root_of(callout.context);
            guest.process.in_flight.borrow_mut().push(InFlight {
                due_ms: callout.elapsed_ms + after_ms,
                vm: guest.state().serial,
                root,
                token: callout.token,
                arrival,
            });
            Status::Ok
        }
    };
    guest.process.callouts.borrow_mut().push(callout);
    Ok(status)
}

fn send(guest: &mut Guest<'_, '_>, arguments: &CalloutArguments) -> Result<u32> {
    let token = guest.ledger.borrow_mut().new_callout_token();
    guest.write_u32(arguments.token_out, token)?;
    Ok(token)
}

fn complete(headers: &Headers) -> bool {
    [":method", ":path", ":authority"]
        .into_iter()
        .all(|name| headers.get(name).is_some())
}
