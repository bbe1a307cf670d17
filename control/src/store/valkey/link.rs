//! The connection to Valkey, kept by a task of its own: dialled again whenever it is lost or silent, so that a
//! Valkey that went away and came back is used again without anybody's help.
//!
//! While it is down, operations fail at once with the reason instead of each waiting for its own deadline, and
//! the task dials in the background. redis' own `ConnectionManager` was not taken for three reasons: it replays the
//! last reconnection's error to the first command after an outage, it never leaves a connection that is silent
//! (a hung server, a partition), and it cannot ask Sentinel again.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection, SendError};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route as SlotRoute, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisFuture,
    RedisResult, ScriptInvocation, ServerErrorKind, Value,
};
use tokenward_protocol::backoff::Backoff;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::Route;

/// Pauses between attempts to dial: doubled from the first to the longest.
const PAUSE: Backoff = Backoff::new(50, 1_000);
/// Sentinel and Cluster ask several servers in turn: one that hangs must not use up the whole attempt to dial.
const SERVERS_IN_TURN: u32 = 4;

/// A connection of either kind. Clones share it.
#[derive(Clone)]
enum Wire {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Wire {
    async fn at_slot(&mut self, command: &Cmd, slot: u16) -> RedisResult<Value> {
        match self {
            Self::Node(node) => command.query_async(node).await,
            Self::Cluster(cluster) => {
                let route = SlotRoute::new(slot, SlotAddr::Master);
                let routing = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
                cluster.route_command(command.clone(), routing).await
            }
        }
    }
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(node) => node.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(node) => node.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(node) => node.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

#[derive(Clone)]
enum State {
    /// The first attempt since the start or since the loss is under way: worth waiting for.
    Dialing,
    Up {
        generation: u64,
        wire: Wire,
    },
    Down(RedisError),
}

/// Why there is no reply.
pub(super) enum NoReply {
    Late,
    Failed(RedisError),
}

/// One request.
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
    /// A command without a key, in a Cluster for the primary of this slot.
    AtSlot(&'a Cmd, u16),
}

/// The kept connection.
pub(super) struct Link {
    state: watch::Receiver<State>,
    /// The highest generation that turned out to be broken.
    broken: Arc<watch::Sender<u64>>,
    deadline: Duration,
    keeper: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Link {
    /// Starts to dial. Needs a tokio runtime.
    pub(super) fn start(route: Route, deadline: Duration) -> Self {
        let (state, watched) = watch::channel(State::Dialing);
        let broken = Arc::new(watch::Sender::new(0));
        let keeper = Keeper {
            route,
            deadline,
            state,
            broken: Arc::clone(&broken),
        };
        Self {
            state: watched,
            broken,
            deadline,
            keeper: tokio::spawn(keeper.keep()),
        }
    }

    /// Waits for the first attempt to dial.
    pub(super) async fn reached(&self) -> Result<(), RedisError> {
        self.wire().await.map(drop)
    }

    /// Sends one request and waits for its reply, both within the deadline.
    pub(super) async fn request(&self, request: Request<'_>) -> Result<Value, NoReply> {
        let until = Instant::now() + self.deadline;
        let (generation, mut wire) = match timeout_at(until, self.wire()).await {
            Err(_) => return Err(NoReply::Late),
            Ok(wire) => wire.map_err(NoReply::Failed)?,
        };
        let reply = async {
            match request {
                Request::Command(command) => command.query_async(&mut wire).await,
                Request::Script(script) => script.invoke_async(&mut wire).await,
                Request::AtSlot(command, slot) => wire.at_slot(command, slot).await,
            }
        };
        match timeout_at(until, reply).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) if error.is_timeout() => {
                report_broken(&self.broken, generation);
                Err(NoReply::Late)
            }
            Ok(Err(error)) => {
                if wants_another_connection(&error) {
                    report_broken(&self.broken, generation);
                }
                Err(NoReply::Failed(error))
            }
            Err(_) => {
                report_broken(&self.broken, generation);
                Err(NoReply::Late)
            }
        }
    }

    async fn wire(&self) -> RedisResult<(u64, Wire)> {
        let mut watched = self.state.clone();
        let state = watched.wait_for(|state| !matches!(state, State::Dialing)).await;
        match state.as_deref() {
            Ok(State::Up { generation, wire }) => Ok((*generation, wire.clone())),
            Ok(State::Down(error)) => Err(error.clone()),
            Ok(State::Dialing) | Err(_) => {
                Err(RedisError::from((ErrorKind::Client, "the connection is closed")))
            }
        }
    }
}

/// A lost connection, or one that leads to the wrong server: a primary that became a replica.
fn wants_another_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

fn report_broken(broken: &watch::Sender<u64>, generation: u64) {
    broken.send_if_modified(|highest| {
        let newer = generation > *highest;
        *highest = generation.max(*highest);
        newer
    });
}

struct Keeper {
    route: Route,
    deadline: Duration,
    state: watch::Sender<State>,
    broken: Arc<watch::Sender<u64>>,
}

impl Keeper {
    async fn keep(mut self) {
        let mut broken = self.broken.subscribe();
        let mut failures = 0_u32;
        for generation in 1.. {
            match self.dial(generation).await {
                Ok(wire) => {
                    let since = Instant::now();
                    self.state.send_replace(State::Up { generation, wire });
                    // Cannot fail: this task holds the sender.
                    let _ = broken.wait_for(|highest| *highest >= generation).await;
                    self.state.send_replace(State::Dialing);
                    if since.elapsed() > Duration::from_millis(PAUSE.cap_ms()) {
                        failures = 0;
                        continue;
                    }
                }
                Err(error) => {
                    self.state.send_replace(State::Down(error));
                }
            }
            sleep(PAUSE.wait(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    async fn dial(&mut self, generation: u64) -> RedisResult<Wire> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline))
            .set_push_sender(tell_of_loss(Arc::clone(&self.broken), generation));
        match &mut self.route {
            Route::Node(client) => {
                // Both the dial and [`Link::request`] have the deadline already: a timer more for each request only costs.
                let config = config.set_response_timeout(None);
                let dial = client.get_multiplexed_async_connection_with_config(&config);
                within(self.deadline, dial).await.map(Wire::Node)
            }
            Route::Sentinel(client) => {
                let dial = client.get_async_connection_with_config(&config);
                within(self.deadline * SERVERS_IN_TURN, dial)
                    .await
                    .map(Wire::Node)
            }
            Route::Cluster(client) => {
                let dial = client.get_async_connection();
                within(self.deadline * SERVERS_IN_TURN, dial)
                    .await
                    .map(Wire::Cluster)
            }
        }
    }
}

async fn within<T>(deadline: Duration, dial: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(deadline, dial)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

fn tell_of_loss(
    broken: Arc<watch::Sender<u64>>,
    generation: u64,
) -> impl Fn(PushInfo) -> Result<(), SendError> + Send + Sync + 'static {
    move |push| {
        if push.kind == PushKind::Disconnection {
            report_broken(&broken, generation);
        }
        Ok(())
    }
}
