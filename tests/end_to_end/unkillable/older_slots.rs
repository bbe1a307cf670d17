//! Envoy keeps shared data by `vm_id`, whatever module runs there, and through an update: the module that comes finds
//! what the one before has written. Here that is every slot in an older or a foreign format.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokenward_harness::issuer::Endpoint;
use tokenward_harness::parts::write_file;
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, World};
use tokenward_wasm_host::probe::{Probe, Step, log_info, number, set_shared};

use super::updates::{another_module, builder, control_calls, paused, wait_until_all_name};
use super::{is_refused_for_good, warnings_of_ends};

/// `SLOTS` of the filter.
const SLOTS: u16 = 2048;
const WRITTEN: &str = "every slot is written";
/// The main thread's VM, the one that Envoy tries the module in, and one for each of four workers.
const VMS: usize = 6;

/// What the slots may hold when an update comes.
fn formats() -> Vec<(&'static str, Vec<u8>)> {
    let entry = [0xA5; 48];
    vec![
        (
            "the version before, entries of a gate or a throttle each",
            slot(1, &entry.repeat(16)),
        ),
        ("a later version", slot(3, &entry.repeat(3))),
        ("today's version, cut off in a record", slot(2, &[0; 47])),
        (
            "today's version, records with more gates than there can be",
            slot(2, &entry.repeat(16)),
        ),
        ("no bytes", Vec::new()),
        ("8 KB of no format", vec![0xFF; 8192]),
    ]
}

fn slot(version: u8, entries: &[u8]) -> Vec<u8> {
    [&[version], entries].concat()
}

/// A module that writes this into every slot as it starts, and then lets every request pass.
fn writer(folder: &TempDir, slot: &[u8]) -> anyhow::Result<PathBuf> {
    let mut steps: Vec<Step> = (0..SLOTS)
        .map(|number_of| set_shared(&format!("tokenward/pairs/{number_of}"), slot, number(0)))
        .collect();
    steps.extend([log_info(WRITTEN), Step::Return(1)]);
    let module = Probe::new()
        .on("proxy_abi_version_0_2_1", [])
        .on("proxy_on_vm_start", steps)
        .assemble();
    Ok(write_file(folder, "writer.wasm", module)?)
}

/// Puts the writer in place of the running module, and waits until each of its VMs has written.
async fn write_slots(world: &World, slot: &[u8]) -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-older-slots-")?;
    let mut config = world.envoy.config().clone();
    config.filter.as_mut().expect("a filter").module = writer(&folder, slot)?;
    let mark = world.envoy.log().mark();
    world.envoy.replace_listener(&config)?;
    let mut seen = mark;
    for _ in 0..VMS {
        let log = world.envoy.log();
        log.wait_for_line_after(seen, |line| line.contains(WRITTEN), Duration::from_secs(30))
            .await?;
        let lines = log.lines_after(seen);
        seen += 1 + lines
            .iter()
            .position(|line| line.contains(WRITTEN))
            .expect("just seen");
    }
    Ok(())
}

/// Puts the filter in the writer's place.
async fn filter_comes(world: &World, round: usize) -> anyhow::Result<()> {
    let folder = TempDir::with_prefix("tokenward-another-module-")?;
    let url = format!("https://round-{round}.example.com/.well-known/oauth-protected-resource");
    let mut config = world.envoy.config().clone();
    let filter = config.filter.as_mut().expect("a filter");
    filter.configuration["resource_metadata"] = json!(url);
    filter.module = another_module(world, &folder)?;
    world.envoy.replace_listener(&config)?;
    wait_until_all_name(world, &url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_finds_slots_of_another_format_forgets_the_gates_and_harms_nobody() -> anyhow::Result<()>
{
    // A grant of its own for each round: control would have a fresh token of the round before.
    let users: Vec<String> = (0..formats().len())
        .map(|round| format!("user-{round}@example.com"))
        .collect();
    let world = users
        .iter()
        .fold(builder(), |world, user| world.user(user))
        .start()
        .await?;
    let fresh = world.log_in("bob@example.com").await?;
    let ended = world.log_in_an_hour_ago(ALICE).await?;
    assert!(world.home.revoke(ALICE, CLIENT.0));
    is_refused_for_good(&world, &ended, 1).await?;
    for (round, (what, slot)) in formats().into_iter().enumerate() {
        let known = (warnings_of_ends(&world), world.home.counts().refreshes_presented);
        let stale = world.log_in_an_hour_ago(&users[round]).await?;
        let waiting = paused(&world, &stale).await?;
        write_slots(&world, &slot).await?;
        filter_comes(&world, round).await?;
        let calls = control_calls(&world).await?;
        is_refused_for_good(&world, &ended, 1).await?;
        is_refused_for_good(&world, &ended, 32).await?;
        assert_eq!(
            control_calls(&world).await?,
            calls + 1,
            "{what}: forgotten once, then closed for all"
        );
        let served = world.server(LOCAL).counts().accepted;
        world.home.release(Endpoint::Refresh);
        for request in waiting {
            let answer = request.whole_answer().await?;
            assert_eq!(answer.status(), 200, "{what}: {}", answer.text);
        }
        assert_eq!(world.server(LOCAL).counts().accepted, served + 20, "{what}");
        assert_eq!(
            (warnings_of_ends(&world), world.home.counts().refreshes_presented),
            (known.0 + 1, known.1 + 1),
            "{what}: the format changed, so one more WARN of the pair within the minute"
        );
        world.ensure_every_worker_serves(LOCAL, &fresh).await?;
        assert_eq!(
            (world.vms().await?.reloads, world.rejected_expired()),
            (0, 0),
            "{what}"
        );
    }
    Ok(())
}
