//! The store at several sizes: bytes for each session, and how long one look-up takes.
//!
//! Sessions are stored by control's own code ([`Sessions::put`]) with the sealing key of the called service, several at
//! a time. Their ID tokens are made up: control does not verify a stored token. The presented ones are signed by the fake Dex.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tokenward_control::clock::SystemClock;
use tokenward_control::config::RefreshTokens;
use tokenward_control::context::Context;
use tokenward_control::filter_state::SignOutLog;
use tokenward_control::observe::metrics::Metrics;
use tokenward_control::record::keyring::{KeyRing, SealingKey};
use tokenward_control::session::{SessionKey, Sessions};
use tokenward_control::store::Store;
use tokenward_control::store::valkey::{Topology, ValkeyConfig, ValkeyStore};
use tokenward_control::upstream::exchange::{ExchangeTimes, Exchanges};
use tokenward_control::upstream::grant::rotations::Rotations;
use tokenward_control::upstream::grant::{GrantTimes, Grants, Login, LoginSource};
use tokenward_control::upstream::issuer::client::IssuerClient;
use tokenward_control::upstream::issuer::revocation::Revocations;
use tokenward_control::upstream::policy::Policy;
use tokenward_protocol::jwt::Claims;

use super::load::{Client, Requests, Until, closed_loop};
use super::people::{Answered, CLIENT, LIFETIME, Service, configuration, start};
use super::raw::Raw;
use super::stage::uncached;
use crate::load::percentile_us;
use crate::made_up;
use crate::statistics::{median, rounded};
use tokenward_harness::issuer::FakeDex;
use tokenward_harness::parts::{Control, ControlConfig};

/// Sizes below the largest.
const SMALLER: [u64; 2] = [1_000, 100_000];
/// Sessions that are looked up, at every size as many, spread over all of them.
const LOOKED_UP: u64 = 1_000;
/// So often in each round, the sizes by turns: this machine's speed changes within seconds, and by half.
pub(super) const LOOK_UPS_IN_A_ROUND: usize = 16;
/// Puts under way at once.
const AT_ONCE: u64 = 96;
/// The cores that fill a store: Valkey has the rest of the time.
const FILLERS: usize = 2;
/// Control's default.
const KEY_PREFIX: &str = "tokenward:";
const HOUR: Duration = Duration::from_secs(3600);

/// One size.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Size {
    pub(super) sessions: u64,
    /// What Valkey allocated for them, keys and overhead included.
    pub(super) bytes_per_session: f64,
    /// An ID token and a refresh token.
    pub(super) token_bytes: usize,
    /// Median of the rounds' medians: one caller, one session after the other.
    pub(super) p50_us: f64,
    /// One value for each round.
    pub(super) p50_us_rounds: Vec<f64>,
    pub(super) requests: u64,
    pub(super) sessions_put_per_second: f64,
}

/// A filled store and the service on it.
pub(super) struct Filled {
    size: Size,
    service: Service,
    requests: Requests,
    raw: Raw,
    _control: Control,
}

/// The sizes up to `largest`.
pub(super) fn sizes(largest: u64) -> Vec<u64> {
    let smaller = SMALLER.into_iter().filter(|sessions| *sessions < largest);
    smaller.chain([largest]).collect()
}

/// Fills a Valkey with so many sessions and starts a control service on it.
///
/// # Errors
/// When something is missing, or control does not serve a stored token.
pub(super) async fn fill(dex: &FakeDex, sessions: u64, like: &str) -> anyhow::Result<Filled> {
    ensure!(sessions >= LOOKED_UP, "at least {LOOKED_UP} sessions");
    let raw = Raw::start().await?;
    let config = ControlConfig {
        // Each look-up is one in the store.
        store: uncached(&raw),
        ..configuration(dex)?
    };
    let kept = Kept::of(dex, like)?;
    let before = raw.used_bytes().await?;
    let begun = std::time::Instant::now();
    put_all(&config, raw.valkey.url(), kept.clone(), sessions).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = raw.used_bytes().await?.saturating_sub(before);
    let (control, service) = start(config).await?;
    let filled = Filled {
        size: Size {
            sessions,
            bytes_per_session: rounded(bytes as f64 / sessions as f64),
            token_bytes: kept.bytes(),
            p50_us: 0.0,
            p50_us_rounds: Vec::new(),
            requests: 0,
            sessions_put_per_second: (sessions as f64 / seconds).round(),
        },
        requests: requests(dex, &service, sessions).await?,
        service,
        raw,
        _control: control,
    };
    filled.serves(&kept, sessions - 1, dex).await?;
    Ok(filled)
}

/// What is put for the session with a number.
#[derive(Clone)]
pub(super) struct Kept {
    tokens: made_up::Sessions,
    refresh_token_bytes: usize,
}

impl Kept {
    /// Tokens of this Dex, as long as its own.
    pub(super) fn of(dex: &FakeDex, like: &str) -> anyhow::Result<Self> {
        let exp_seconds = dex.clock().now_seconds() + i64::try_from(LIFETIME.as_secs())?;
        Ok(Self {
            tokens: made_up::Sessions::new(dex.issuer(), CLIENT.0, exp_seconds, 1),
            refresh_token_bytes: like.len(),
        })
    }

    /// Bytes of the ID token and the refresh token of one session.
    pub(super) fn bytes(&self) -> usize {
        self.tokens.token(0).len() + self.refresh_token_bytes
    }

    fn refresh_token(&self, number: u64) -> String {
        format!("{number:0width$x}", width = self.refresh_token_bytes)
    }
}

fn session_id(number: u64) -> String {
    format!("2c1a4a0e-7b2f-4c52-9a77-{number:012x}")
}

/// As [`made_up::Sessions`] has it.
pub(super) fn subject(number: u64) -> String {
    format!("CiQ{number:053x}")
}

/// On threads of their own: this one is the load generator's.
async fn put_all(config: &ControlConfig, url: String, kept: Kept, sessions: u64) -> anyhow::Result<()> {
    let (id, key) = config.sealing_key.clone();
    let filling = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(FILLERS)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let writer = sessions_of(&context(url, &id, &key).await?);
            let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..AT_ONCE {
                let (writer, next, kept) = (writer.clone(), Arc::clone(&next), kept.clone());
                tasks.spawn(async move {
                    loop {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if number >= sessions {
                            return anyhow::Ok(());
                        }
                        put(&writer, &kept, number, &session_id(number)).await?;
                    }
                });
            }
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        })
    });
    let joined = tokio::task::spawn_blocking(move || filling.join()).await?;
    joined.map_err(|_| anyhow::anyhow!("filling the store panicked"))?
}

/// Puts the session `id` of the user with a number.
pub(super) async fn put(writer: &Sessions, kept: &Kept, number: u64, id: &str) -> anyhow::Result<()> {
    let id_token = SecretString::from(kept.tokens.token(number));
    let refresh_token = SecretString::from(kept.refresh_token(number));
    let claims = Claims::read(id_token.expose_secret().as_bytes())?;
    let login = Login {
        id_token: &id_token,
        claims: &claims,
        client_id: CLIENT.0,
        access_token: None,
        refresh_token: Some(&refresh_token),
        session_id: None,
        refresh_tokens: RefreshTokens::PerUser,
        source: LoginSource::Registered { is_relayed: false },
    };
    let session = SessionKey::of_id(&id.to_owned().into());
    let put = writer.put(&session, &login).await?;
    ensure!(put.created, "session {number} was there already");
    Ok(())
}

/// What control's own code needs to write to that Valkey.
pub(super) async fn context(url: String, id: &str, key: &SecretString) -> anyhow::Result<Context> {
    let store = ValkeyStore::connect(ValkeyConfig {
        url,
        username: None,
        password: None,
        key_prefix: KEY_PREFIX.to_owned(),
        deadline: Duration::from_secs(30),
        topology: Topology::Standalone,
        client_side_caching: false,
    })
    .await?;
    let store: Arc<dyn Store> = Arc::new(store);
    Ok(Context {
        client: IssuerClient::new(Duration::from_secs(5))?,
        sign_outs: SignOutLog::new(Arc::clone(&store), Arc::new(SystemClock), HOUR),
        store,
        ring: Arc::new(KeyRing::new(SealingKey::from_base64(id, key)?, Vec::new())?),
        clock: Arc::new(SystemClock),
        metrics: Metrics::default(),
        recorder: tokenward_control::activity::Recorder::default(),
        proven_tokens: Arc::default(),
        past_key_grace: HOUR,
    })
}

/// Control's sessions there.
pub(super) fn sessions_of(context: &Context) -> Sessions {
    let policy = Policy {
        margin: Duration::from_secs(60),
        suspect_wait: HOUR,
        presentation_limit: HOUR,
        transient_limit: HOUR,
        rejected_interval: HOUR,
    };
    let grants = Grants::new(
        context.clone(),
        GrantTimes {
            policy,
            caller_deadline: HOUR,
            lease_lifetime: HOUR,
            lease_patience: HOUR,
            record_lifetime: 720 * HOUR,
        },
        Arc::new(Rotations::new(HOUR)),
        Revocations::new(context.clone(), Vec::new()),
    );
    let times = ExchangeTimes {
        policy,
        caller_deadline: HOUR,
        lease_lifetime: HOUR,
        lease_patience: HOUR,
    };
    let exchanges = Exchanges::new(context.clone(), grants.clone(), times);
    Sessions::new(context.clone(), grants, exchanges, 720 * HOUR)
}

/// Requests for sessions all over the store, each with a token of that user which the fake Dex signed.
async fn requests(dex: &FakeDex, service: &Service, sessions: u64) -> anyhow::Result<Requests> {
    let mut requests = Vec::new();
    for at in 0..LOOKED_UP {
        // By turns from the whole range: neighbours in time are none in the store.
        let number = (at * 7_919 % LOOKED_UP) * (sessions / LOOKED_UP);
        requests.push(service.request(&presented(dex, number), Some(&session_id(number))));
        tokio::task::yield_now().await;
    }
    Ok(Arc::new(requests))
}

fn presented(dex: &FakeDex, number: u64) -> String {
    let draft = dex.mint("admin@example.com", CLIENT.0);
    draft
        .claim("sub", subject(number))
        .claim("groups", serde_json::json!([]))
        .token()
}

impl Filled {
    /// Whether control hands out the very token that was put for one session.
    async fn serves(&self, kept: &Kept, number: u64, dex: &FakeDex) -> anyhow::Result<()> {
        let form = tokenward_protocol::token_endpoint::TokenRequest {
            subject_token: presented(dex, number).into(),
            subject_token_type: tokenward_protocol::token_endpoint::SubjectTokenType::IdToken,
            server: super::people::SERVER.to_owned(),
            session: Some(session_id(number).into()),
            reason: tokenward_protocol::token_endpoint::Reason::Stale,
        }
        .to_form();
        let answer: serde_json::Value = tokenward_harness::issuer::http_client()
            .post(format!("http://{}/oauth2/token", self.service.address))
            .bearer_auth(&self.service.credentials.0)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?
            .json()
            .await?;
        let token = answer["access_token"].as_str().context("no token")?;
        ensure!(
            token == kept.tokens.token(number),
            "control serves another token than was put"
        );
        Ok(())
    }

    /// Control fetches the issuer's keys and remembers them.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn warm_up(&self) -> anyhow::Result<()> {
        let clients = Client::at(&[self.service.address], 1, &self.requests).await?;
        closed_loop(clients, Until::Sent(LOOKED_UP)).await.map(drop)
    }

    /// Looks every chosen session up once, with one caller.
    ///
    /// # Errors
    /// When one look-up is something else.
    pub(super) async fn look_up(&mut self) -> anyhow::Result<()> {
        let before = (self.service.answered().await?, self.raw.commands().await?);
        let clients = Client::at(&[self.service.address], 1, &self.requests).await?;
        let done = closed_loop(clients, Until::Sent(LOOKED_UP)).await?;
        let Answered { tokens, refused, .. } = self.service.answered().await?;
        let commands = self.raw.commands().await? - before.1;
        ensure!(
            (tokens - before.0.tokens, refused - before.0.refused, commands) == (LOOKED_UP, 0, 2 * LOOKED_UP),
            "{LOOKED_UP} look-ups: {tokens} tokens, {refused} refused, {commands} commands"
        );
        self.size.requests += done.requests;
        let p50_us = percentile_us(&done.latencies_ns, 0.5);
        self.size.p50_us_rounds.push(rounded(p50_us));
        self.size.p50_us = rounded(median(&self.size.p50_us_rounds));
        Ok(())
    }

    /// What was found; the store is gone afterwards.
    pub(super) fn size(self) -> Size {
        self.size
    }
}
