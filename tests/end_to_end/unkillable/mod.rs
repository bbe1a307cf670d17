//! What clients, control and operators do to a running filter, on real Envoy with four workers. After each attack every
//! worker serves fresh requests, no VM was lost, and no server has seen a stale token.

mod bytes;
mod clock;
mod control;
mod older_slots;
mod updates;

use tokenward_harness::world::{LOCAL, Login, Vms, World};

/// The VMs before an attack.
struct Before(Vms);

impl Before {
    async fn attack(world: &World) -> anyhow::Result<Self> {
        Ok(Self(world.vms().await?))
    }

    /// `fresh` is somebody's fresh login.
    async fn is_survived(&self, world: &World, fresh: &Login) -> anyhow::Result<()> {
        world.ensure_every_worker_serves(LOCAL, fresh).await?;
        assert_eq!(world.vms().await?, self.0, "{}", world.envoy.log().tail(20));
        assert_eq!(self.0.reloads, 0);
        assert_eq!(world.rejected_expired(), 0);
        Ok(())
    }
}

/// So many requests at once with a login that has ended.
async fn is_refused_for_good(world: &World, ended: &Login, count: usize) -> anyhow::Result<()> {
    for answer in world.call(LOCAL).login(ended).send_many_alone(count).await? {
        assert_eq!(
            (answer.status(), answer.refusal().as_deref()),
            (401, Some("needs_login"))
        );
    }
    Ok(())
}

/// WARN lines about logins that have ended.
fn warnings_of_ends(world: &World) -> usize {
    let lines = world.envoy.wasm_lines();
    let about_the_end = lines
        .iter()
        .filter(|line| line.level == "warning" && line.message.contains("needs_login"));
    about_the_end.count()
}
