//! Shows by itself what the gateway logs and what the issuers are asked, as it happens.

use std::convert::Infallible;
use std::time::Duration;

use super::Screen;
use super::setting::{BOB, CAROL};
use crate::issuer::{FakeDex, IssuerCounts};
use crate::parts::{EnvoyLine, LogBook};
use crate::world::{ALICE, World};

/// Longer than any demo.
const FOR_EVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Follows one world.
#[derive(Debug)]
pub(super) struct Watcher<'a> {
    log: LogFollower<'a>,
    home: IssuerFollower<'a>,
    remote: IssuerFollower<'a>,
}

#[derive(Debug)]
struct LogFollower<'a> {
    screen: &'a Screen,
    log: &'a LogBook,
    seen: usize,
}

#[derive(Debug)]
struct IssuerFollower<'a> {
    screen: &'a Screen,
    issuer: &'a FakeDex,
    name: &'static str,
    seen: IssuerCounts,
}

impl<'a> Watcher<'a> {
    /// A watcher of all that happens from now on.
    pub(super) fn new(world: &'a World, screen: &'a Screen) -> Self {
        let log = world.envoy.log();
        let follower = |issuer: &'a FakeDex, name| IssuerFollower {
            screen,
            issuer,
            name,
            seen: issuer.counts(),
        };
        Self {
            log: LogFollower {
                screen,
                log,
                seen: log.mark(),
            },
            home: follower(&world.home, "control → home issuer"),
            remote: follower(&world.remote, "control → remote issuer"),
        }
    }

    /// Shows events until it is dropped.
    pub(super) async fn watch(&mut self) -> Infallible {
        let (never, _, _) = tokio::join!(self.log.follow(), self.home.follow(), self.remote.follow());
        never
    }

    /// Shows what has not been shown yet.
    pub(super) fn catch_up(&mut self) {
        self.home.show_new();
        self.remote.show_new();
        self.log.show_new();
    }
}

impl LogFollower<'_> {
    async fn follow(&mut self) -> Infallible {
        loop {
            // An error is only that nothing came for a very long time.
            let _ = self.log.wait_for_line_after(self.seen, |_| true, FOR_EVER).await;
            self.show_new();
        }
    }

    fn show_new(&mut self) {
        let lines = self.log.lines_after(self.seen);
        self.seen += lines.len();
        for line in lines.iter().filter_map(|line| EnvoyLine::read_wasm(line)) {
            if line.level != "debug" && line.level != "trace" {
                self.screen.filter_line(&line);
            }
        }
    }
}

impl IssuerFollower<'_> {
    async fn follow(&mut self) -> Infallible {
        loop {
            let seen = self.seen;
            let news = |counts: &IssuerCounts| *counts != seen;
            let _ = self.issuer.wait_for_counts(news, FOR_EVER).await;
            self.show_new();
        }
    }

    fn show_new(&mut self) {
        let (before, now) = (self.seen, self.issuer.counts());
        self.seen = now;
        let presentations = self.issuer.presentations();
        for number in before.refreshes_presented..now.refreshes_presented {
            let owner = presentations.get(number).and_then(|presented| presented.user.as_deref());
            let text = format!("refresh {} at this issuer: {}'s login", number + 1, name_of(owner));
            self.screen.event(self.name, None, &text);
        }
        for number in before.exchanges_presented..now.exchanges_presented {
            let text = format!("exchange {} at this issuer", number + 1);
            self.screen.event(self.name, None, &text);
        }
        if now.while_down > before.while_down {
            self.screen.event(self.name, None, "no answer: the issuer is down");
        }
    }
}

/// What a user is called in the story.
fn name_of(email: Option<&str>) -> &str {
    match email {
        Some(ALICE) => "alice",
        Some(BOB) => "bob",
        Some(CAROL) => "carol",
        Some(other) => other,
        None => "an unknown user",
    }
}
