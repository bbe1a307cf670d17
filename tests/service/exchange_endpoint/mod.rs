//! `POST /exchange/{server}/token`: the endpoint of an aggregator that exchanges by itself.

mod given;
mod requests;
mod sharing;

use reqwest::RequestBuilder;

use crate::deployment::{ADMIN, Answer, Deployment, basic};

/// The client of the exchange, as the aggregator has it.
const CLIENT: (&str, &str) = ("exchanger", "ex+change/secret%=");
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The form that the aggregator sends.
fn form_of(token: &str) -> Vec<(&'static str, String)> {
    vec![
        ("grant_type", GRANT_TYPE.to_owned()),
        ("subject_token", token.to_owned()),
        ("subject_token_type", ID_TOKEN.to_owned()),
        ("connector_id", "home".to_owned()),
        ("scope", "openid profile email groups".to_owned()),
        ("requested_token_type", ID_TOKEN.to_owned()),
    ]
}

fn encoded(form: &[(&str, String)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    body.finish()
}

/// A request with `form`, without a client.
fn unauthenticated(home: &Deployment, replica: usize, path: &str, form: &[(&str, String)]) -> RequestBuilder {
    home.http
        .post(format!("{}{path}", home.urls[replica]))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(form))
}

/// The aggregator's exchange of `token` for `remote`, at one replica.
async fn exchanged_at(home: &Deployment, replica: usize, token: &str) -> anyhow::Result<Answer> {
    let request = unauthenticated(home, replica, "/exchange/remote/token", &form_of(token));
    home.request(request.header("authorization", basic(CLIENT.0, CLIENT.1)))
        .await
}

pub(crate) async fn exchanged(home: &Deployment, token: &str) -> anyhow::Result<Answer> {
    exchanged_at(home, 0, token).await
}

/// A fresh home token of a user without a registered login.
async fn log_in(home: &Deployment) -> anyhow::Result<String> {
    Ok(home.dex.log_in(ADMIN, "muster").await?.id_token)
}
