//! Programs that share one stored refresh token, in an order that a seed decides: answers get lost, the store loses its own,
//! time passes, replicas have other clocks. None of it is a reuse.

use super::client::Client;
use super::refresh::{families, logged_in};
use crate::deployment::at_once;

const STEPS: usize = 150;
/// Answers that get lost in a row, each with a pause of up to [`LONGEST_PAUSE_SECONDS`], fit into the window.
const LOST_IN_A_ROW: usize = 5;
const LONGEST_PAUSE_SECONDS: u64 = 10;

/// Knuth's 64-bit generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }

    fn index(&mut self, sides: usize) -> usize {
        usize::try_from(self.below(sides as u64)).unwrap_or_default()
    }
}

async fn no_program_is_logged_out(seed: u64) -> anyhow::Result<()> {
    let (mut deployment, _, login) = logged_in(1).await?;
    deployment.add_replica_ahead(90).await?;
    deployment.add_replica_ahead(-90).await?;
    let client = Client::of(&deployment);
    let mut stored = client.redeem(0, &login.code).await?.refresh_token()?;
    let (mut dice, mut lost_in_a_row, mut rotations) = (Dice(seed), 0, 0);
    for step in 0..STEPS {
        deployment.store().lose_answers(dice.index(3));
        let programs = 1 + dice.index(3);
        let first = dice.index(3);
        let calls = (0..programs).map(|program| client.refresh((first + program) % 3, &stored));
        let mut answered = Vec::new();
        for reply in at_once(calls).await {
            let reply = reply?;
            assert!(
                matches!(reply.status, 200 | 503),
                "seed {seed}, step {step}: {reply:?}"
            );
            if reply.status == 200 {
                answered.push(reply.refresh_token()?);
            }
        }
        answered.dedup();
        assert!(
            answered.len() <= 1,
            "seed {seed}, step {step}: two answers to one token"
        );
        deployment.store().lose_answers(0);
        deployment.advance(dice.below(LONGEST_PAUSE_SECONDS));
        // The answer may get lost after it was sent, to all of them.
        let is_lost = dice.below(3) == 0 && lost_in_a_row < LOST_IN_A_ROW;
        match answered.pop() {
            Some(next) if !is_lost => {
                (stored, lost_in_a_row) = (next, 0);
                rotations += 1;
            }
            _ if lost_in_a_row < LOST_IN_A_ROW => lost_in_a_row += 1,
            _ => {
                stored = client.refresh(0, &stored).await?.refresh_token()?;
                lost_in_a_row = 0;
                rotations += 1;
            }
        }
    }
    assert!(rotations > STEPS / 4, "seed {seed}: {rotations} rotations");
    assert_eq!(families(&deployment).await?, 1, "seed {seed}");
    assert_eq!(deployment.status(&login.session).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn programs_that_share_a_token_and_lose_answers_in_any_order_are_not_logged_out() -> anyhow::Result<()>
{
    for seed in 1..=8 {
        no_program_is_logged_out(seed).await?;
    }
    Ok(())
}
