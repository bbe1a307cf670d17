//! Shows log lines of the gateway and calls to the issuers as they happen.

use std::convert::Infallible;
use std::time::Duration;

use super::Screen;
use super::setting::{BOB, CAROL, DANA, LOOK_AGAIN};
use tokenward_harness::issuer::{Issuer, IssuerCounts};
use tokenward_harness::mcp_server::{McpCounts, McpServer};
use tokenward_harness::parts::{EnvoyLine, LogBook};
use tokenward_harness::world::{ALICE, World};

/// Longer than any demo.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Follows one world.
#[derive(Debug)]
pub(super) struct Watcher<'a, I> {
    log: LogFollower<'a>,
    servers: Vec<ServerFollower<'a>>,
    home: IssuerFollower<'a, I>,
    remote: IssuerFollower<'a, I>,
}

#[derive(Debug)]
struct LogFollower<'a> {
    screen: &'a Screen,
    log: &'a LogBook,
    seen: usize,
    debug: bool,
}

/// Only for calls by hand: the story shows its own calls.
#[derive(Debug)]
struct ServerFollower<'a> {
    screen: &'a Screen,
    server: &'a McpServer,
    actor: String,
    seen: McpCounts,
}

#[derive(Debug)]
struct IssuerFollower<'a, I> {
    screen: &'a Screen,
    issuer: &'a I,
    name: &'static str,
    seen: IssuerCounts,
}

impl<'a, I: Issuer> Watcher<'a, I> {
    /// A watcher of what happens from now on.
    pub(super) fn new(world: &'a World<I>, screen: &'a Screen) -> Self {
        let log = world.envoy.log();
        let follower = |issuer: &'a I, name| IssuerFollower {
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
                debug: false,
            },
            servers: Vec::new(),
            home: follower(&world.home, "control → home issuer"),
            remote: follower(&world.remote, "control → remote issuer"),
        }
    }

    /// A watcher that also shows each request's end: DEBUG lines of the filter, and what reached a server.
    pub(super) fn of_everything(world: &'a World<I>, screen: &'a Screen) -> Self {
        let mut watcher = Self::new(world, screen);
        watcher.log.debug = true;
        let follower = |name: String| ServerFollower {
            screen,
            server: world.server(&name),
            actor: format!("you → gateway → {name}"),
            seen: world.server(&name).counts(),
        };
        watcher.servers = world.server_names().into_iter().map(follower).collect();
        watcher
    }

    /// Shows events until it is dropped.
    pub(super) async fn watch(&mut self) -> Infallible {
        let (never, ..) = tokio::join!(
            self.log.follow(),
            self.home.follow(),
            self.remote.follow(),
            follow_servers(&mut self.servers),
        );
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
            // The only error is the end of that long time.
            let _ = self
                .log
                .wait_for_line_after(self.seen, |_| true, NO_DEADLINE)
                .await;
            self.show_new();
        }
    }

    fn show_new(&mut self) {
        let lines = self.log.lines_after(self.seen);
        self.seen += lines.len();
        for line in lines.iter().filter_map(|line| EnvoyLine::read_wasm(line)) {
            if self.debug || line.level != "debug" {
                self.screen.filter_line(&line);
            }
        }
    }
}

async fn follow_servers(servers: &mut [ServerFollower<'_>]) -> Infallible {
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    loop {
        looks.tick().await;
        servers.iter_mut().for_each(ServerFollower::show_new);
    }
}

impl ServerFollower<'_> {
    fn show_new(&mut self) {
        let (before, now) = (self.seen, self.server.counts());
        self.seen = now;
        let accepted = now.accepted - before.accepted;
        if accepted > 0 {
            let text = format!("accepted: {accepted}, all with a good token");
            self.screen.event(&self.actor, Some(200), &text);
        }
        let rejected =
            (now.rejected_expired + now.rejected_other) - (before.rejected_expired + before.rejected_other);
        if rejected > 0 {
            self.screen.event(
                &self.actor,
                Some(401),
                &format!("rejected by the server: {rejected}"),
            );
        }
    }
}

impl<I: Issuer> IssuerFollower<'_, I> {
    async fn follow(&mut self) -> Infallible {
        loop {
            let seen = self.seen;
            let news = |counts: &IssuerCounts| *counts != seen;
            let _ = self.issuer.wait_for_counts(news, NO_DEADLINE).await;
            self.show_new();
        }
    }

    fn show_new(&mut self) {
        let (before, now) = (self.seen, self.issuer.counts());
        self.seen = now;
        let presentations = self.issuer.presentations();
        for number in before.refreshes_presented..now.refreshes_presented {
            let owner = presentations
                .get(number)
                .and_then(|presented| presented.user.as_deref());
            let text = format!(
                "{}'s refresh token is presented (no. {})",
                name_of(owner),
                number + 1
            );
            self.screen.event(self.name, None, &text);
        }
        for number in before.exchanges_presented..now.exchanges_presented {
            let text = format!("a token exchange is requested (no. {})", number + 1);
            self.screen.event(self.name, None, &text);
        }
        if now.while_down > before.while_down {
            self.screen
                .event(self.name, None, "no answer: the issuer is down");
        }
    }
}

/// Name of a user in the story.
fn name_of(email: Option<&str>) -> &str {
    match email {
        Some(ALICE) => "alice",
        Some(BOB) => "bob",
        Some(CAROL) => "carol",
        Some(DANA) => "dana",
        Some(other) => other,
        None => "an unknown user",
    }
}
