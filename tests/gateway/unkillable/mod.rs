//! What clients, control and operators do to a running filter, on real Envoy with four workers. After each attack every
//! worker serves fresh requests, no VM was lost, and no server has seen a stale token.

mod bytes;
mod control;
mod older_slots;
mod updates;

use tokenward_tests::world::{LOCAL, Login, Vms, World};

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
