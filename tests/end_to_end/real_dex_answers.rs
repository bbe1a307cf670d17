//! The fake Dex is held to a real one: the same requests to both, and the same answers but for what is random in them.
//!
//! What is not asked, because a Dex with memory storage and without its gRPC API cannot be brought to it: a refresh token
//! revoked by `DexApi.RevokeRefresh` (it shares its answer with a used one, which is asked), failures and lock timeouts of
//! the storage (they share theirs with a connector that fails, see [`crate::real_dex_connector`]), and the end of a login
//! session, which this release does not have.

mod exchanges;

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokenward_harness::issuer::{DexConfig, DexConnector, FakeDex, Issuer};
use tokenward_harness::parts::{RealDex, tools};
use tokenward_harness::world::{ALICE, CLIENT};

const OTHER: (&str, &str) = ("kube", "k");
const PASSWORD: &str = "password";
const REFRESH: &str = "refresh_token";
const ALL: &str = "openid profile email groups offline_access";

/// One issuer under questions, and what it answered to each.
struct Questions<'a, I> {
    issuer: &'a I,
    http: reqwest::Client,
    answers: Vec<(String, Value)>,
}

type Form<'a> = &'a [(&'a str, &'a str)];

impl<'a, I: Issuer> Questions<'a, I> {
    fn to(issuer: &'a I) -> anyhow::Result<Self> {
        Ok(Self {
            issuer,
            http: reqwest::Client::builder().no_proxy().build()?,
            answers: Vec::new(),
        })
    }

    async fn ask(&mut self, what: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let shown = json!({
            "status": status,
            "content-type": header("content-type"),
            "cache-control": header("cache-control").map(without_numbers),
            "www-authenticate": header("www-authenticate"),
            "body": self.shown("", &body),
        });
        self.answers.push((what.to_owned(), shown));
        Ok(body)
    }

    fn note(&mut self, what: &str, found: bool) {
        self.answers.push((what.to_owned(), json!(found)));
    }

    async fn get(&mut self, path: &str, bearer: Option<&str>) -> anyhow::Result<Value> {
        let mut request = self.http.get(format!("{}{path}", self.issuer.issuer()));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        self.ask(
            &format!("GET {path} ({})", bearer.map_or(0, str::len).min(1)),
            request,
        )
        .await
    }

    async fn post(&mut self, what: &str, path: &str, form: Form<'_>) -> anyhow::Result<Value> {
        let request = self
            .http
            .post(format!("{}{path}", self.issuer.issuer()))
            .form(form);
        self.ask(what, request).await
    }

    async fn token(
        &mut self,
        what: &str,
        grant: &str,
        client: (&str, &str),
        form: Form<'_>,
    ) -> anyhow::Result<Value> {
        let mut whole = vec![
            ("grant_type", grant),
            ("client_id", client.0),
            ("client_secret", client.1),
        ];
        whole.extend(form);
        self.post(what, "/token", &whole).await
    }

    /// A value without what differs from issuer to issuer and from moment to moment.
    fn shown(&self, name: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let shown = |(name, value): (&String, &Value)| (name.clone(), self.shown(name, value));
                Value::Object(fields.iter().map(shown).collect())
            }
            Value::Array(items) => items.iter().map(|item| self.shown(name, item)).collect(),
            Value::Number(_) if matches!(name, "exp" | "iat" | "nbf" | "expires_in") => json!("a time"),
            Value::String(text) if matches!(name, "refresh_token" | "kid" | "n" | "jti" | "at_hash") => {
                json!(format!(
                    "random, {}",
                    if text.is_empty() { "empty" } else { "present" }
                ))
            }
            Value::String(text) => match parts_of_jwt(text) {
                Some(parts) => self.shown("", &parts),
                None => json!(text.replace(self.issuer.issuer(), "ISSUER")),
            },
            other => other.clone(),
        }
    }
}

fn without_numbers(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_ascii_digit())
        .collect()
}

/// Header and claims of a JWT.
fn parts_of_jwt(text: &str) -> Option<Value> {
    use base64::Engine as _;
    let mut parts = text.split('.').map(|part| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(part)
            .ok()?;
        serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
    });
    Some(json!({"header": parts.next()??, "claims": parts.next()??}))
}

async fn ask_everybody<I: Issuer>(home: &I, remote: &I) -> anyhow::Result<Vec<(String, Value)>> {
    let mut questions = Questions::to(home)?;
    ask_pages(&mut questions).await?;
    ask_for_logins(&mut questions).await?;
    ask_for_refreshes(&mut questions).await?;
    let mut exchanges = Questions::to(remote)?;
    exchanges::ask(&mut exchanges, home).await?;
    questions.answers.append(&mut exchanges.answers);
    Ok(questions.answers)
}

async fn ask_pages<I: Issuer>(questions: &mut Questions<'_, I>) -> anyhow::Result<()> {
    let tokens = questions.issuer.log_in(ALICE, CLIENT.0).await?;
    for path in ["/.well-known/openid-configuration", "/keys", "/token"] {
        questions.get(path, None).await?;
    }
    questions.get("/userinfo", None).await?;
    for bearer in ["garbage", &tokens.id_token, &tokens.access_token] {
        questions.get("/userinfo", Some(bearer)).await?;
    }
    for (what, token) in [
        ("refresh token", tokens.refresh_token.as_str()),
        ("id token", &tokens.id_token),
        ("garbage", "garbage"),
        ("nothing", ""),
    ] {
        let what = format!("introspect {what}");
        questions
            .post(&what, "/token/introspect", &[("token", token)])
            .await?;
    }
    questions.post("no form", "/token", &[]).await?;
    questions.token("unknown grant", "magic", CLIENT, &[]).await?;
    Ok(())
}

async fn ask_for_logins<I: Issuer>(questions: &mut Questions<'_, I>) -> anyhow::Result<()> {
    let alice = |scope: &'static str| [("username", ALICE), ("password", PASSWORD), ("scope", scope)];
    for scope in [
        ALL,
        "openid",
        "openid email offline_access",
        "profile",
        "openid unknown",
        "",
    ] {
        let what = format!("log in for {scope:?}");
        questions.token(&what, PASSWORD, CLIENT, &alice(scope)).await?;
    }
    let wrong = [("username", ALICE), ("password", "wrong"), ("scope", "openid")];
    questions
        .token("wrong password", PASSWORD, CLIENT, &wrong)
        .await?;
    let nobody = [
        ("username", "nobody@example.com"),
        ("password", PASSWORD),
        ("scope", "openid"),
    ];
    questions.token("unknown user", PASSWORD, CLIENT, &nobody).await?;
    questions
        .token("wrong secret", PASSWORD, (CLIENT.0, "wrong"), &alice(ALL))
        .await?;
    questions
        .token("unknown client", PASSWORD, ("nobody", "x"), &alice(ALL))
        .await?;
    let basic = questions
        .http
        .post(questions.issuer.token_endpoint())
        .basic_auth(CLIENT.0, Some("%zz"))
        .form(&[("grant_type", PASSWORD)]);
    questions.ask("badly encoded secret", basic).await?;
    Ok(())
}

async fn ask_for_refreshes<I: Issuer>(questions: &mut Questions<'_, I>) -> anyhow::Result<()> {
    let first = questions.issuer.log_in(ALICE, CLIENT.0).await?;
    let fresh = questions
        .token("refresh", REFRESH, CLIENT, &[(REFRESH, &first.refresh_token)])
        .await?;
    let second = fresh[REFRESH].as_str().unwrap_or_default().to_owned();
    questions.note("the first refresh rotates", second != first.refresh_token);
    questions
        .token(
            "refresh with a used token",
            REFRESH,
            CLIENT,
            &[(REFRESH, &first.refresh_token)],
        )
        .await?;
    questions
        .post(
            "introspect a used token",
            "/token/introspect",
            &[("token", &first.refresh_token)],
        )
        .await?;
    for (what, client) in [("another client", OTHER), ("a wrong secret", (CLIENT.0, "wrong"))] {
        let what = format!("refresh by {what}");
        questions
            .token(&what, REFRESH, client, &[(REFRESH, &second)])
            .await?;
    }
    let wider = [
        (REFRESH, second.as_str()),
        ("scope", "openid audience:server:client_id:kube"),
    ];
    questions
        .token("refresh for more", REFRESH, CLIENT, &wider)
        .await?;
    let narrower = [(REFRESH, second.as_str()), ("scope", "openid email")];
    let fresh = questions
        .token("refresh for less", REFRESH, CLIENT, &narrower)
        .await?;
    let third = fresh[REFRESH].as_str().unwrap_or_default().to_owned();
    questions.note("the next refresh rotates", third != second);
    questions
        .token("refresh for all again", REFRESH, CLIENT, &[(REFRESH, &third)])
        .await?;
    questions
        .token("refresh garbage", REFRESH, CLIENT, &[(REFRESH, "garbage")])
        .await?;
    questions.token("refresh nothing", REFRESH, CLIENT, &[]).await?;
    let killed = questions.issuer.log_in(ALICE, CLIENT.0).await?;
    questions.issuer.log_in(ALICE, OTHER.0).await?;
    questions.issuer.log_in(ALICE, CLIENT.0).await?;
    questions
        .token(
            "refresh after another login",
            REFRESH,
            CLIENT,
            &[(REFRESH, &killed.refresh_token)],
        )
        .await?;
    Ok(())
}

/// Everything that `I` answers with this `reuseInterval`.
async fn answers_of<I: Issuer>(reuse_interval: Duration) -> anyhow::Result<Vec<(String, Value)>> {
    let config = || DexConfig::default().reuse_interval(reuse_interval);
    let home = I::start(config()).await?;
    let with_user_info = DexConnector {
        get_user_info: true,
        ..DexConnector::oidc(exchanges::WITH_USER_INFO, home.issuer())
    };
    let connector = DexConnector::oidc("home", home.issuer());
    let remote = I::start(config().connector(connector).connector(with_user_info)).await?;
    ask_everybody(&home, &remote).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fake_dex_answers_as_a_real_one_does() -> anyhow::Result<()> {
    if tools::dex()?.is_none() {
        tokenward_harness::aloud!("left out: the fake against the real: {}", tools::DEX_IS_MISSING);
        return Ok(());
    }
    for reuse_interval in [Duration::ZERO, Duration::from_secs(600)] {
        let fakes = answers_of::<FakeDex>(reuse_interval).await?;
        let reals = answers_of::<RealDex>(reuse_interval).await?;
        assert!(fakes.len() > 50, "{} questions", fakes.len());
        assert_eq!(fakes.len(), reals.len());
        let differences: Vec<String> = fakes
            .iter()
            .zip(&reals)
            .filter(|(fake, real)| fake != real)
            .map(|((what, fake), (_, real))| format!("{what}\n  fake {fake}\n  real {real}"))
            .collect();
        assert_eq!(differences, [] as [String; 0], "with {reuse_interval:?}");
    }
    Ok(())
}
