//! The connection to Valkey. A task of its own maintains it and reconnects when it is lost or unresponsive, so that control
//! recovers from an outage of Valkey without intervention.
//!
//! During an outage operations fail at once with the reason instead of waiting for their deadline, and the task reconnects in
//! the background. The `ConnectionManager` of redis is not used for three reasons: it returns the error of its last
//! reconnection to the first command after an outage, it never abandons an unresponsive connection (a hung server, a
//! partition), and it cannot query Sentinel again.

use std::pin::pin;
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
use super::tracking::Tracking;
use crate::store::recent::{ENTRY_LIFETIME, Generation};

/// The waits between attempts to connect.
const CONNECT_BACKOFF: Backoff = Backoff::new(50, 1_000);
/// An attempt with Sentinel or Cluster contacts several servers in turn: a hanging server must not use up its whole deadline.
const SERVERS_PER_ATTEMPT: u32 = 4;

/// A connection to one server or to a Cluster. Clones share it.
#[derive(Clone)]
enum Connection {
    Node(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn at_slot(&mut self, command: &Cmd, slot: u16) -> RedisResult<Value> {
        match self {
            Self::Node(node) => command.query_async(node).await,
            Self::Cluster(cluster) => {
                let route = SlotRoute::new(slot, SlotAddr::Master);
                let routing = RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route));
                // Unlike `query_async`, this returns a server error as a value.
                let reply = cluster.route_command(command.clone(), routing).await?;
                reply.extract_error()
            }
        }
    }
}

impl ConnectionLike for Connection {
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
    /// The first attempt since the start, or since the connection was lost, is in progress: operations wait for it.
    Connecting,
    Up {
        generation: Generation,
        connection: Connection,
    },
    Down(RedisError),
}

/// Why a request has no reply.
pub(super) enum RequestError {
    Late,
    Failed(RedisError),
}

/// One request.
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
    /// A command without a key; in a Cluster it goes to the primary of this slot.
    AtSlot(&'a Cmd, u16),
}

/// A connection that reconnects by itself.
pub(super) struct Link {
    state: watch::Receiver<State>,
    /// The highest generation whose connection is broken.
    broken: Arc<watch::Sender<Generation>>,
    deadline: Duration,
    tracking: Option<Arc<Tracking>>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Starts to connect; `tracking` learns what changes. Needs a tokio runtime.
    pub(super) fn start(route: Route, deadline: Duration, tracking: Option<Arc<Tracking>>) -> Self {
        let (state, watched) = watch::channel(State::Connecting);
        let broken = Arc::new(watch::Sender::new(0));
        let connector = Connector {
            route,
            deadline,
            state,
            broken: Arc::clone(&broken),
            tracking: tracking.clone(),
        };
        Self {
            state: watched,
            broken,
            deadline,
            tracking,
            task: tokio::spawn(connector.run()),
        }
    }

    /// Waits for the current attempt to connect.
    pub(super) async fn connected(&self) -> Result<(), RedisError> {
        self.connection().await.map(drop)
    }

    /// Sends one request and waits for its reply, both within the deadline.
    pub(super) async fn request(&self, request: Request<'_>) -> Result<Value, RequestError> {
        let until = Instant::now() + self.deadline;
        let (generation, mut connection) = match timeout_at(until, self.connection()).await {
            Err(_) => return Err(RequestError::Late),
            Ok(connection) => connection.map_err(RequestError::Failed)?,
        };
        let sent_at = Instant::now();
        let reply = async {
            match request {
                Request::Command(command) => command.query_async(&mut connection).await,
                Request::Script(script) => script.invoke_async(&mut connection).await,
                Request::AtSlot(command, slot) => connection.at_slot(command, slot).await,
            }
        };
        match timeout_at(until, reply).await {
            Ok(Ok(reply)) => {
                if let Some(tracking) = &self.tracking {
                    tracking.recent.proved(generation, sent_at);
                }
                Ok(reply)
            }
            Ok(Err(error)) if error.is_timeout() => {
                self.report_broken(generation);
                Err(RequestError::Late)
            }
            Ok(Err(error)) => {
                if requires_reconnect(&error) {
                    self.report_broken(generation);
                }
                Err(RequestError::Failed(error))
            }
            Err(_) => {
                self.report_broken(generation);
                Err(RequestError::Late)
            }
        }
    }

    fn report_broken(&self, generation: Generation) {
        report_broken(&self.broken, self.tracking.as_deref(), generation);
    }

    async fn connection(&self) -> RedisResult<(u64, Connection)> {
        let mut watched = self.state.clone();
        let state = watched
            .wait_for(|state| !matches!(state, State::Connecting))
            .await;
        match state.as_deref() {
            Ok(State::Up {
                generation,
                connection,
            }) => Ok((*generation, connection.clone())),
            Ok(State::Down(error)) => Err(error.clone()),
            Ok(State::Connecting) | Err(_) => {
                Err(RedisError::from((ErrorKind::Client, "the connection is closed")))
            }
        }
    }
}

/// Whether the connection is lost, or leads to the wrong server: a former primary that is now a replica.
fn requires_reconnect(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_io_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

fn report_broken(broken: &watch::Sender<Generation>, tracking: Option<&Tracking>, generation: Generation) {
    if let Some(tracking) = tracking {
        tracking.recent.end(generation);
    }
    broken.send_if_modified(|highest| {
        let newer = generation > *highest;
        *highest = generation.max(*highest);
        newer
    });
}

/// The task that maintains the connection.
struct Connector {
    route: Route,
    deadline: Duration,
    state: watch::Sender<State>,
    broken: Arc<watch::Sender<Generation>>,
    tracking: Option<Arc<Tracking>>,
}

impl Connector {
    async fn run(mut self) {
        let mut broken = self.broken.subscribe();
        let mut failures = 0_u32;
        for generation in 1.. {
            match self.connect(generation).await {
                Ok(connection) => {
                    let since = Instant::now();
                    self.state.send_replace(State::Up {
                        generation,
                        connection,
                    });
                    until_broken(self.tracking.as_deref(), &mut broken, generation).await;
                    self.state.send_replace(State::Connecting);
                    if since.elapsed() > Duration::from_millis(CONNECT_BACKOFF.cap_ms()) {
                        failures = 0;
                        continue;
                    }
                }
                Err(error) => {
                    self.state.send_replace(State::Down(error));
                }
            }
            sleep(CONNECT_BACKOFF.wait(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Connects, and has the server report changes on the new connection.
    async fn connect(&mut self, generation: Generation) -> RedisResult<Connection> {
        let mut connection = self.open(generation).await?;
        if let (Some(tracking), Connection::Node(node)) = (&self.tracking, &mut connection) {
            within(self.deadline, tracking.begin(node, generation)).await?;
        }
        Ok(connection)
    }

    async fn open(&mut self, generation: Generation) -> RedisResult<Connection> {
        let pushes = follow(Arc::clone(&self.broken), self.tracking.clone(), generation);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline))
            .set_push_sender(pushes);
        match &mut self.route {
            Route::Node(client) => {
                // `within` and [`Link::request`] already apply the deadline: one more timer per request has no benefit.
                let config = config.set_response_timeout(None);
                let connect = client.get_multiplexed_async_connection_with_config(&config);
                within(self.deadline, connect).await.map(Connection::Node)
            }
            Route::Sentinel(client) => {
                let connect = client.get_async_connection_with_config(&config);
                within(self.deadline * SERVERS_PER_ATTEMPT, connect)
                    .await
                    .map(Connection::Node)
            }
            Route::Cluster(client) => {
                let connect = client.get_async_connection();
                within(self.deadline * SERVERS_PER_ATTEMPT, connect)
                    .await
                    .map(Connection::Cluster)
            }
        }
    }
}

/// Waits until the connection `generation` is broken, and meanwhile forgets what is too old to be used.
async fn until_broken(
    tracking: Option<&Tracking>,
    broken: &mut watch::Receiver<Generation>,
    generation: Generation,
) {
    let is_broken = broken.wait_for(|highest| *highest >= generation);
    let Some(tracking) = tracking else {
        // Cannot fail: the connector holds the sender.
        let _ = is_broken.await;
        return;
    };
    let mut is_broken = pin!(is_broken);
    while timeout(ENTRY_LIFETIME, is_broken.as_mut()).await.is_err() {
        tracking.recent.sweep(Instant::now());
    }
}

async fn within<T>(deadline: Duration, connect: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(deadline, connect)
        .await
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// Follows what the server sends unasked on the connection `generation`, and its end.
fn follow(
    broken: Arc<watch::Sender<Generation>>,
    tracking: Option<Arc<Tracking>>,
    generation: Generation,
) -> impl Fn(PushInfo) -> Result<(), SendError> + Send + Sync + 'static {
    move |push| {
        if push.kind == PushKind::Disconnection {
            report_broken(&broken, tracking.as_deref(), generation);
        } else if let Some(tracking) = &tracking {
            tracking.reported(&push);
        }
        Ok(())
    }
}
