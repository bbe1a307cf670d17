//! The token endpoint: the refresh is the same everywhere, the rest is the product's.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::authorization;
use super::client::{self, Asked};
use super::engine::{Engine, seconds};
use super::logins::Login;
use super::product::{Refusal, UserState};
use super::{CloudClient, Rotation};
use crate::issuer::form::Form;

pub(super) const REFRESH: &str = "refresh_token";
pub(super) const CODE: &str = "authorization_code";

pub(super) fn answer(engine: &Engine, asked: Asked<'_>) -> Answer {
    let form = asked.form;
    let answered = client::authenticated(engine, asked).and_then(|client| match form.get("grant_type") {
        REFRESH => refresh(engine, &client, form),
        CODE => authorization::redeem(engine, &client, form),
        _ => engine.product.exchange(engine, &client, form),
    });
    answered.unwrap_or_else(|refusal| engine.product.refusal(engine, &refusal))
}

fn refresh(engine: &Engine, client: &CloudClient, form: &Form) -> Result<Answer, Refusal> {
    let presented = form.get("refresh_token");
    if presented.is_empty() {
        return Err(Refusal::Missing("refresh_token"));
    }
    let mut logins = engine.logins();
    if let Some(login) = logins.of_token(presented) {
        if login.client_id != client.id {
            return Err(Refusal::OfOtherClient);
        }
        match engine.user(&login.user) {
            UserState::Active => {}
            state => return Err(Refusal::User(state)),
        }
    }
    let config = &engine.config;
    let next = (engine.new_refresh_token(), engine.clock().now_ms());
    let login = logins
        .present(presented, config.rotation, config.idle_lifetime, next)
        .map_err(Refusal::Dead)?;
    drop(logins);
    let repeats = config.rotation != Rotation::Static || engine.product.repeats_refresh_token();
    let refresh_token = repeats.then(|| login.refresh_token());
    let answer = tokens(engine, &login, refresh_token, None);
    engine.count(Some(&login.user), |counts| counts.refreshes_succeeded += 1);
    Ok(Answer::ok(Value::Object(answer)))
}

/// A token response.
pub(super) fn tokens(
    engine: &Engine,
    login: &Login,
    refresh_token: Option<String>,
    nonce: Option<&str>,
) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("token_type".to_owned(), json!("Bearer"));
    answer.insert(
        "expires_in".to_owned(),
        json!(seconds(engine.config.token_lifetime)),
    );
    answer.insert(
        "access_token".to_owned(),
        json!(engine.product.access_token(engine, login)),
    );
    answer.insert("id_token".to_owned(), json!(engine.id_token(login, nonce)));
    if let Some(refresh_token) = refresh_token {
        answer.insert("refresh_token".to_owned(), json!(refresh_token));
    }
    engine.product.adorn(&mut answer);
    answer
}
