//! Provokes every outcome of the filter in real Envoys and collects what they exposed and logged.

mod in_step;

use std::time::{Duration, Instant};

use serde_json::json;
use tokenward_harness::parts::{Envoy, EnvoyConfig, EnvoyLine, EnvoyRoute, Sample, Script, ScriptedServer};
use tokenward_harness::world::{ALICE, CLIENT, LOCAL, Login, World};
use tokenward_protocol::refusal::Refusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The refusals that control can send, as opposed to those that the filter decides by itself.
const SENT_BY_CONTROL: [Refusal; 18] = [
    Refusal::NeedsLogin,
    Refusal::UnknownSession,
    Refusal::SubjectRejected,
    Refusal::IssuerUnavailable,
    Refusal::ExchangeUnavailable,
    Refusal::StoreUnavailable,
    Refusal::Busy,
    Refusal::UnknownServer,
    Refusal::IssuerMisconfigured,
    Refusal::ExchangeMisconfigured,
    Refusal::Substitution,
    Refusal::CallerRejected,
    Refusal::BadRequest,
    Refusal::TokenTooLarge,
    Refusal::AlgorithmUnsupported,
    Refusal::TokenExpired,
    Refusal::WrongTokenType,
    Refusal::NotRegistered,
];
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the filter waits for control. Only one story waits for so long; in all others control answers at once, and
/// a machine that stalls for some seconds must not make it late.
const CONTROL_TIMEOUT: &str = "6s";
/// How long a refusal is remembered at first: the second call of each story comes within it, also on a slow machine.
const GATE: &str = "20s";

/// Everything that was observed.
pub(super) struct Witness {
    pub(super) samples: Vec<Sample>,
    pub(super) lines: Vec<EnvoyLine>,
    /// Tokens, parts of tokens, session handles and the credential.
    pub(super) secrets: Vec<String>,
}

/// One Envoy whose control answers by script.
struct Stage {
    control: ScriptedServer,
    world: World,
    secrets: Vec<String>,
}

impl Witness {
    pub(super) async fn of_everything() -> anyhow::Result<Self> {
        let mut stage = Stage::set().await?;
        // The lines suppressed in a minute are counted in one after it: the minute passes meanwhile.
        let few_lines = stage.more_warnings_than_lines().await?;
        stage.tokens_at_fault().await?;
        stage.refusals().await?;
        stage.replacements().await?;
        stage.background_questions().await?;
        stage.rejections().await?;
        stage.made_up_tokens().await?;
        let mut witness = Self {
            samples: Vec::new(),
            lines: Vec::new(),
            secrets: Vec::new(),
        };
        witness.record(&stage.world.envoy).await?;
        let expired_403 = stage.rejection_by_403().await?;
        witness.record(&expired_403).await?;
        let strict = stage.requests_for_no_server_and_late_tries().await?;
        witness.record(&strict).await?;
        let in_step = stage.in_step().await?;
        witness.record(&in_step).await?;
        let misconfigured = stage.misconfigured().await?;
        witness.record(&misconfigured).await?;
        few_lines
            .wait_for_wasm_line(|line| line.message.starts_with("withheld "), 2 * PATIENCE)
            .await?;
        witness.record(&few_lines).await?;
        let credential = stage
            .world
            .envoy
            .config()
            .filter
            .clone()
            .and_then(|filter| filter.credential);
        witness.secrets.extend(stage.secrets);
        witness.secrets.extend(credential);
        Ok(witness)
    }

    async fn record(&mut self, envoy: &Envoy) -> anyhow::Result<()> {
        self.samples
            .extend(envoy.stats().await?.samples().iter().cloned());
        self.lines.extend(envoy.wasm_lines());
        Ok(())
    }
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let control = ScriptedServer::start(Script::silence()).await?;
        let world = World::builder()
            .workers(1)
            .filter_calls(control.address())
            .filter_setting(
                "control",
                json!({
                    "cluster": "tokenward_control", "credential": {"env": "TOKENWARD_FILTER_CREDENTIAL"},
                    "timeout": CONTROL_TIMEOUT,
                }),
            )
            .filter_setting(
                "gate",
                json!({"transient_first": GATE, "transient_longest": "60s"}),
            )
            .start()
            .await?;
        Ok(Self {
            control,
            world,
            secrets: Vec::new(),
        })
    }

    /// A login of a session of its own; its token and session must not occur in any output.
    async fn login(&mut self, session: &str, expires_in_seconds: i64) -> anyhow::Result<Login> {
        let mut login = self.world.log_in_unregistered(ALICE).await?;
        login.session = format!("documented-session-{session}");
        let draft = self.world.home.mint(ALICE, CLIENT.0).claim("session", session);
        login.tokens.id_token = draft.expires_in_seconds(expires_in_seconds).token();
        self.add_secret(&login.tokens.id_token);
        self.secrets.push(login.session.clone());
        Ok(login)
    }

    fn add_secret(&mut self, token: &str) {
        self.secrets.extend(token.split('.').skip(1).map(str::to_owned));
    }

    /// A token for control to return.
    fn better(&mut self, mark: &str) -> String {
        let token = self
            .world
            .home
            .mint(ALICE, CLIENT.0)
            .claim("better", mark)
            .token();
        self.add_secret(&token);
        token
    }

    async fn expect(&self, login: &Login, status: u16, refusal: Option<Refusal>) -> anyhow::Result<()> {
        let answer = self.world.call(LOCAL).login(login).send().await?;
        assert_eq!(
            (answer.status, answer.refusal().as_deref()),
            (status, refusal.map(Refusal::name)),
            "{}",
            answer.body
        );
        Ok(())
    }

    async fn tokens_at_fault(&mut self) -> anyhow::Result<()> {
        let fresh = self.login("at-fault", 1800).await?;
        let good = &fresh.tokens.id_token;
        let other = self.world.home.mint(ALICE, "another-client").token();
        let stranger = self.world.home.mint(ALICE, CLIENT.0);
        let stranger = stranger.claim("iss", "https://stranger.example.com").token();
        let local = || self.world.call(LOCAL);
        for (call, refusal) in [
            (local(), Refusal::MissingBearer),
            (local().bearer("malformed-secret"), Refusal::MalformedBearer),
            (local().bearer(good).bearer(good), Refusal::AmbiguousBearer),
            (local().bearer(&other), Refusal::WrongAudience),
            (local().bearer(&stranger), Refusal::WrongIssuer),
        ] {
            // Twice: the second line is at another level.
            for _ in 0..2 {
                let answer = call.send().await?;
                assert_eq!(
                    (answer.status, answer.refusal().as_deref()),
                    (401, Some(refusal.name()))
                );
            }
        }
        assert_eq!(self.world.call("unknown").send().await?.status, 404);
        self.expect(&fresh, 200, None).await?;
        self.add_secret(&other);
        self.add_secret(&stranger);
        self.secrets.push("malformed-secret".to_owned());
        Ok(())
    }

    async fn refusals(&mut self) -> anyhow::Result<()> {
        let unfit = self.world.home.mint("bob@example.com", CLIENT.0).token();
        let expired = self
            .world
            .home
            .mint(ALICE, CLIENT.0)
            .expires_in_seconds(-5)
            .token();
        self.add_secret(&unfit);
        self.add_secret(&expired);
        let mut scripts: Vec<_> = SENT_BY_CONTROL
            .map(|refusal| (refusal, Script::refusal(refusal)))
            .into();
        scripts.extend([
            (Refusal::AnswerUnfit, Script::token(&unfit)),
            (Refusal::AnswerStale, Script::token(&expired)),
            (
                Refusal::ControlGarbled,
                Script::answer(200, &Script::FROM_CONTROL, b"{}"),
            ),
            (Refusal::ControlUnreachable, Script::bytes(Vec::new())),
            (Refusal::ControlLate, Script::silence()),
        ]);
        for (refusal, script) in scripts {
            let login = self.login(refusal.name(), -5).await?;
            self.control.play(script);
            for _ in 0..2 {
                self.expect(&login, refusal.client_status(), Some(refusal))
                    .await?;
            }
        }
        Ok(())
    }

    async fn replacements(&mut self) -> anyhow::Result<()> {
        let mut login = self.login("recovering", -5).await?;
        self.control.play(Script::refusal(Refusal::NeedsLogin));
        self.expect(&login, 401, Some(Refusal::NeedsLogin)).await?;
        let script = Script::token(&self.better("after-a-new-login"));
        self.control.play(script);
        login.tokens.id_token = self.login("recovered", -4).await?.tokens.id_token;
        for _ in 0..2 {
            self.expect(&login, 200, None).await?;
        }
        self.line("recovered ").await
    }

    async fn background_questions(&mut self) -> anyhow::Result<()> {
        let script = Script::token(&self.better("ahead"));
        self.control.play(script);
        let login = self.login("near-expiry", 90).await?;
        self.expect(&login, 200, None).await?;
        self.line("fetched ahead ").await?;
        self.control.play(Script::refusal(Refusal::IssuerUnavailable));
        let login = self.login("near-expiry-in-vain", 90).await?;
        self.expect(&login, 200, None).await?;
        self.line("not fetched ahead ").await
    }

    async fn rejections(&mut self) -> anyhow::Result<()> {
        let script = Script::token(&self.better("as-bad-as-the-first"));
        self.control.play(script);
        self.world.server(LOCAL).set_trust_revoked(true);
        let login = self.login("rejected", 1800).await?;
        let begun = Instant::now();
        loop {
            let answer = self.world.call(LOCAL).login(&login).send().await?;
            assert_eq!(answer.status, 503, "{}", answer.body);
            if answer.refusal().as_deref() == Some("token_rejected") {
                break;
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "the gate stays open: {}", answer.body);
        }
        self.world.server(LOCAL).set_trust_revoked(false);
        Ok(())
    }

    /// More tokens of one session than the filter calls control for.
    async fn made_up_tokens(&mut self) -> anyhow::Result<()> {
        self.control.play(Script::refusal(Refusal::SubjectRejected));
        let mut login = self.login("made-up", -5).await?;
        for number in 0..6 {
            login.tokens.id_token = self.login("made-up", -6 - number).await?.tokens.id_token;
            self.expect(&login, 401, Some(Refusal::SubjectRejected)).await?;
        }
        login.tokens.id_token = self.login("made-up", -60).await?.tokens.id_token;
        self.expect(&login, 503, Some(Refusal::CallLimit)).await
    }

    /// An Envoy that may write one WARN line a minute, and has reason for two.
    async fn more_warnings_than_lines(&mut self) -> anyhow::Result<Envoy> {
        let mut config: EnvoyConfig = self.world.envoy.config().clone();
        if let Some(filter) = &mut config.filter {
            filter.configuration["warn_limit"] = json!(1);
        }
        let envoy = Envoy::start(&config).await?;
        let other = self.world.home.mint(ALICE, "another-client").token();
        self.add_secret(&other);
        for bearer in ["malformed-secret", &other] {
            let call = self.world.call(LOCAL).bearer(bearer).through(&envoy);
            assert_eq!(call.send().await?.status, 401);
        }
        Ok(envoy)
    }

    /// An Envoy in front of a server that calls the token expired with 403.
    async fn rejection_by_403(&mut self) -> anyhow::Result<Envoy> {
        let challenge = ("www-authenticate", "Bearer error=\"invalid_token\"");
        let server = ScriptedServer::start(Script::answer(403, &[challenge], b"expired")).await?;
        let mut config = self.world.envoy.config().clone();
        for route in &mut config.routes {
            route.server = server.address();
        }
        let envoy = Envoy::start(&config).await?;
        let login = self.login("rejected-by-403", 1800).await?;
        let call = self.world.call(LOCAL).login(&login).through(&envoy);
        assert_eq!(call.send().await?.status, 503);
        Ok(envoy)
    }

    /// An Envoy whose filter has a configuration that cannot be used.
    async fn requests_for_no_server_and_late_tries(&mut self) -> anyhow::Result<Envoy> {
        let mut config: EnvoyConfig = self.world.envoy.config().clone();
        if let Some(filter) = &mut config.filter {
            filter.configuration["unmatched"] = json!("refuse");
            filter.configuration["unprotected"] = json!([{"host": "open.example.com"}]);
        }
        let server = self.world.server(LOCAL).address();
        config.routes.push(EnvoyRoute::new("/", server));
        // Longer than any token's life: every try is late.
        config.checks_each_try = Some("2h".to_owned());
        let envoy = Envoy::start(&config).await?;
        let fresh = self.login("late", 1800).await?;
        for _ in 0..2 {
            let unmatched = self.world.call("elsewhere").through(&envoy).send().await?;
            assert_eq!(
                (unmatched.status, unmatched.refusal().as_deref()),
                (404, Some("unmatched"))
            );
            let late = self
                .world
                .call(LOCAL)
                .login(&fresh)
                .through(&envoy)
                .send()
                .await?;
            assert_eq!((late.status, late.refusal().as_deref()), (503, Some("sent_late")));
            let mut stream = TcpStream::connect(envoy.address()).await?;
            let request =
                format!("GET /{LOCAL}/mcp HTTP/1.1\r\nhost: user@gateway\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            assert!(
                answer.starts_with("HTTP/1.1 400") && answer.contains("unreadable_request"),
                "{answer}"
            );
        }
        Ok(envoy)
    }

    async fn misconfigured(&self) -> anyhow::Result<Envoy> {
        let mut config: EnvoyConfig = self.world.envoy.config().clone();
        if let Some(filter) = &mut config.filter {
            filter.configuration["margin"] = json!("a minute");
        }
        let envoy = Envoy::start(&config).await?;
        for _ in 0..2 {
            let answer = self.world.call(LOCAL).through(&envoy).send().await?;
            assert_eq!(answer.refusal().as_deref(), Some("filter_misconfigured"));
        }
        Ok(envoy)
    }

    async fn line(&self, start: &str) -> anyhow::Result<()> {
        let envoy = &self.world.envoy;
        envoy
            .wait_for_wasm_line(|line| line.message.starts_with(start), PATIENCE)
            .await?;
        Ok(())
    }
}
