//! Metrics.

use wasmtime::{Caller, Linker, Result};

use super::guest::{Guest, proxy_call};
use crate::metrics::MetricKind;
use crate::status::Status;
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_define_metric",
            |mut c: Call<'_>, kind: i32, name: i32, length: i32, id_out: i32| {
                proxy_call(&mut c, "proxy_define_metric", |guest| {
                    let name = guest.read_text(name, length)?;
                    let Some(metric) = MetricKind::from_abi(kind) else {
                        return Ok(Status::BadArgument);
                    };
                    guest.process.metrics.borrow_mut().define(metric, &name);
                    let id = new_id(guest, metric, kind, name)?;
                    guest.write_u32(id_out, id)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_increment_metric",
            |mut c: Call<'_>, id: i32, step: i64| {
                proxy_call(&mut c, "proxy_increment_metric", |guest| {
                    let Some((kind, name)) = metric(guest, id) else {
                        return Ok(Status::NotFound);
                    };
                    Ok(guest.process.metrics.borrow_mut().increment(kind, &name, step))
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_record_metric",
            |mut c: Call<'_>, id: i32, value: i64| {
                proxy_call(&mut c, "proxy_record_metric", |guest| {
                    let Some((kind, name)) = metric(guest, id) else {
                        return Ok(Status::NotFound);
                    };
                    Ok(guest
                        .process
                        .metrics
                        .borrow_mut()
                        .record(kind, &name, value.cast_unsigned()))
                })
            },
        )?
        .func_wrap("env", "proxy_get_metric", |mut c: Call<'_>, id: i32, out: i32| {
            proxy_call(&mut c, "proxy_get_metric", |guest| {
                let Some((kind, name)) = metric(guest, id) else {
                    return Ok(Status::NotFound);
                };
                let value = guest.process.metrics.borrow().value(kind, &name);
                let Some(value) = value else {
                    return Ok(Status::BadArgument);
                };
                guest.write(out, &value.to_le_bytes())?;
                Ok(Status::Ok)
            })
        })?;
    Ok(())
}

/// A new id of this VM for a stat, whether or not it has one; the two low bits are the kind.
fn new_id(guest: &Guest<'_, '_>, metric: MetricKind, kind: i32, name: String) -> Result<u32> {
    let mut ledger = guest.ledger.borrow_mut();
    let count = u32::try_from(ledger.metric_ids.len() + 1)?;
    let id = (count << 2) | kind.cast_unsigned();
    ledger.metric_ids.insert(id, (metric, name));
    Ok(id)
}

fn metric(guest: &Guest<'_, '_>, id: i32) -> Option<(MetricKind, String)> {
    guest.ledger.borrow().metric_ids.get(&id.cast_unsigned()).cloned()
}
