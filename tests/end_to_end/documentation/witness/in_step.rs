//! What an Envoy exposes and logs that learns its servers from control.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokenward_harness::parts::{Envoy, EnvoyConfig, EnvoyLine, Script};
use tokenward_harness::world::LOCAL;
use tokenward_protocol::filter_state::{ALWAYS, EndedDigest, FilterState, ServerList, SignOut};

use super::{PATIENCE, Stage};

impl Stage {
    /// An Envoy that learns its servers from control: first in vain, then well, then a list with a fault.
    pub(super) async fn in_step(&mut self) -> anyhow::Result<Envoy> {
        let mut config: EnvoyConfig = self.world.envoy.config().clone();
        let filter = config
            .filter
            .as_mut()
            .ok_or_else(|| anyhow::anyhow!("no filter"))?;
        let servers = filter.configuration["servers"].take();
        filter.configuration["state"] = json!({"poll_every": "1s"});
        let answered = |body: &[u8]| Script::answer(200, &Script::FROM_CONTROL, body);
        self.control.play(Script::bytes(Vec::new()));
        let envoy = Envoy::start(&config).await?;
        let login = self.login("in-step", 1800).await?;
        let call = self.world.call(LOCAL).login(&login).through(&envoy);
        for _ in 0..2 {
            let answer = call.send().await?;
            assert_eq!(
                (answer.status, answer.refusal().as_deref()),
                (503, Some("state_missing"))
            );
        }
        let line = async |level: &str, start: &str| -> anyhow::Result<()> {
            let is_it = |line: &EnvoyLine| line.level == level && line.message.starts_with(start);
            envoy.wait_for_wasm_line(is_it, PATIENCE).await.map(drop)
        };
        line("warning", "state not learned ").await?;
        line("debug", "state not learned ").await?;
        self.control.play(answered(b"of another service"));
        self.polls(&envoy, "unusable").await?;
        let ended = SignOut {
            ended: EndedDigest::session(&login.session),
            last_second: ALWAYS,
        };
        let state = |version, list: &Value| {
            let list = list.to_string();
            let servers = Some(ServerList {
                version,
                json: list.as_bytes(),
            });
            let state = FilterState {
                version: 1,
                has_more: false,
                servers,
                sign_outs: vec![ended],
            };
            answered(&state.encode())
        };
        self.control.play(state(1, &json!({"servers": servers})));
        line("info", "servers learned ").await?;
        line("info", "state learned again ").await?;
        for _ in 0..2 {
            let answer = call.send().await?;
            assert_eq!(
                (answer.status, answer.refusal().as_deref()),
                (401, Some("signed_out"))
            );
        }
        self.control.play(state(2, &json!({"servers": [{}]})));
        line("warning", "servers refused ").await?;
        self.control.play(state(3, &json!({"servers": [{}]})));
        line("debug", "servers refused ").await?;
        self.polls(&envoy, "servers_refused").await?;
        Ok(envoy)
    }

    /// Waits until a poll of the state has ended so.
    async fn polls(&self, envoy: &Envoy, outcome: &str) -> anyhow::Result<()> {
        let begun = Instant::now();
        while envoy
            .stats()
            .await?
            .count("tokenward_state_polls_total", &[("outcome", outcome)])
            == 0
        {
            anyhow::ensure!(begun.elapsed() < PATIENCE, "no poll is {outcome}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}
