//! What went wrong later in the system of the incident, one test each. `docs/muster.md` lists all of its failures with
//! the test that holds each down, and the ones that cannot happen here.

mod outages;
mod page;
mod quiet;
mod tokens;

use std::time::{Duration, Instant};

use tokenward_harness::world::{Login, World};

/// Calls as a client that waits a little on 503 does, until it is served.
async fn until_served(world: &World, server: &str, login: &Login) -> anyhow::Result<()> {
    let limit = Instant::now() + Duration::from_secs(90);
    loop {
        let answer = world.call(server).login(login).send().await?;
        if answer.status == 200 {
            return Ok(());
        }
        anyhow::ensure!(answer.status == 503, "{} {}", answer.status, answer.body);
        anyhow::ensure!(Instant::now() < limit, "still {}", answer.body);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
