//! Pages in a real browser: those of a login, from the consent to the client's listener (`cargo xtask clients --check`), and
//! those of the operators' console (`cargo xtask console --check`). Where Chromium is missing, each test states so and is left
//! out.

mod chromium;
mod consent;
mod console;
mod demo;
mod issuer_pages;
mod loopback_client;
mod problems;
mod stage;

use chromium::{Chromium, Manner};
use tokenward_harness::parts::tools;

/// A browser; where none is installed, a line that this story is left out.
async fn browser(story: &str, manner: Manner) -> anyhow::Result<Option<Chromium>> {
    if chromium::programs()?.is_none() {
        tokenward_harness::aloud!("left out: {story}: {}", tools::CHROMIUM_IS_MISSING);
        return Ok(None);
    }
    Chromium::start(manner).await.map(Some)
}
