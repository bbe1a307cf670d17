//! Shared data and shared queues.

use wasmtime::{Caller, Linker, Result};

use super::guest::{Guest, proxy_call};
use crate::process::{Post, QueueOwner};
use crate::status::Status;
use crate::vm::VmState;

type Call<'a> = Caller<'a, VmState>;

pub(super) fn define(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_get_shared_data",
            |mut c: Call<'_>, key: i32, length: i32, out: i32, out_length: i32, cas_out: i32| {
                proxy_call(&mut c, "proxy_get_shared_data", |guest| {
                    let key = guest.read(key, length)?;
                    let found = {
                        let shared_data = guest.process.shared_data.borrow();
                        shared_data.get(&key).map(|(value, cas)| (value.to_vec(), cas))
                    };
                    let Some((value, cas)) = found else {
                        return Ok(Status::NotFound);
                    };
                    guest.give(&value, out, out_length)?;
                    guest.write_u32(cas_out, cas)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_set_shared_data",
            |mut c: Call<'_>, key: i32, length: i32, value: i32, value_length: i32, cas: i32| {
                proxy_call(&mut c, "proxy_set_shared_data", |guest| {
                    let (key, value) = (guest.read(key, length)?, guest.read(value, value_length)?);
                    let stored =
                        guest
                            .process
                            .shared_data
                            .borrow_mut()
                            .set(&key, &value, cas.cast_unsigned());
                    Ok(stored.map_or(Status::CasMismatch, |()| Status::Ok))
                })
            },
        )?;
    define_queues(linker)
}

fn define_queues(linker: &mut Linker<VmState>) -> Result<()> {
    linker
        .func_wrap(
            "env",
            "proxy_register_shared_queue",
            |mut c: Call<'_>, name: i32, length: i32, id_out: i32| {
                proxy_call(&mut c, "proxy_register_shared_queue", |guest| {
                    let name = guest.read(name, length)?;
                    let owner = owner(guest);
                    let id = guest.process.queues.borrow_mut().register(&name, owner);
                    guest.write_u32(id_out, id)?;
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_resolve_shared_queue",
            |mut c: Call<'_>, vm_id: i32, vm_id_length: i32, name: i32, length: i32, id_out: i32| {
                proxy_call(&mut c, "proxy_resolve_shared_queue", |guest| {
                    let (vm_id, name) = (guest.read_text(vm_id, vm_id_length)?, guest.read(name, length)?);
                    let id = guest.process.queues.borrow().resolve(&name);
                    match id.filter(|_| vm_id == guest.process.settings.vm_id) {
                        Some(id) => guest.write_u32(id_out, id).map(|()| Status::Ok),
                        None => Ok(Status::NotFound),
                    }
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_enqueue_shared_queue",
            |mut c: Call<'_>, id: i32, item: i32, length: i32| {
                proxy_call(&mut c, "proxy_enqueue_shared_queue", |guest| {
                    let item = guest.read(item, length)?;
                    let enqueued = guest
                        .process
                        .queues
                        .borrow_mut()
                        .enqueue(id.cast_unsigned(), item);
                    let Ok(owner) = enqueued else {
                        return Ok(Status::NotFound);
                    };
                    let post = Post::QueueReady(owner, id.cast_unsigned());
                    guest.process.posts.borrow_mut().push_back(post);
                    Ok(Status::Ok)
                })
            },
        )?
        .func_wrap(
            "env",
            "proxy_dequeue_shared_queue",
            |mut c: Call<'_>, id: i32, out: i32, out_length: i32| {
                proxy_call(&mut c, "proxy_dequeue_shared_queue", |guest| {
                    let item = guest.process.queues.borrow_mut().dequeue(id.cast_unsigned());
                    match item {
                        Ok(Some(item)) => guest.give(&item, out, out_length).map(|()| Status::Ok),
                        Ok(None) => Ok(Status::Empty),
                        Err(_) => Ok(Status::NotFound),
                    }
                })
            },
        )?;
    Ok(())
}

fn owner(guest: &Guest<'_, '_>) -> QueueOwner {
    let ledger = guest.ledger.borrow();
    QueueOwner {
        thread: guest.state().thread,
        generation: guest.state().generation,
        context: ledger.root_of(ledger.effective),
    }
}
