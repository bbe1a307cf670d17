//! Questions about token exchanges, through a connector that only checks signatures and through one that also asks the home
//! issuer.

use tokenward_harness::issuer::{Issuer, LoginTokens};
use tokenward_harness::world::{ALICE, CLIENT};

use super::{OTHER, Questions};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The connector that asks the home issuer's userinfo endpoint about each token.
pub(super) const WITH_USER_INFO: &str = "home-with-user-info";

pub(super) async fn ask<I: Issuer>(questions: &mut Questions<'_, I>, home: &I) -> anyhow::Result<()> {
    let LoginTokens {
        id_token,
        access_token,
        ..
    } = home.log_in(ALICE, CLIENT.0).await?;
    let good = [
        ("connector_id", "home"),
        ("subject_token", id_token.as_str()),
        ("subject_token_type", ID_TOKEN),
        ("requested_token_type", ID_TOKEN),
        ("scope", "openid profile email groups"),
    ];
    home.set_down(true);
    questions
        .token("exchange before the keys are known", EXCHANGE, OTHER, &good)
        .await?;
    home.set_down(false);
    questions.token("exchange", EXCHANGE, OTHER, &good).await?;
    for (name, value) in [
        ("requested_token_type", ACCESS_TOKEN),
        ("requested_token_type", "urn:example:unknown"),
        ("subject_token", "garbage"),
        ("subject_token", ""),
        ("subject_token", access_token.as_str()),
        ("subject_token_type", ACCESS_TOKEN),
        ("subject_token_type", "urn:example:unknown"),
        ("subject_token_type", ""),
        ("connector_id", "nowhere"),
        ("connector_id", "local"),
        ("connector_id", ""),
        ("scope", ""),
        ("scope", "openid offline_access"),
        ("scope", "openid audience:server:client_id:muster"),
        ("scope", "openid audience:server:client_id:nobody"),
        ("scope", "profile"),
    ] {
        let other = good.map(|(field, usual)| (field, if field == name { value } else { usual }));
        let shown = if value == access_token {
            "an access token"
        } else {
            value
        };
        let what = format!("exchange with {name} {shown:?}");
        questions.token(&what, EXCHANGE, OTHER, &other).await?;
    }
    questions
        .token("exchange by a wrong client", EXCHANGE, (OTHER.0, "wrong"), &good)
        .await?;
    let with_audience = good.map(|(field, usual)| match field {
        "scope" => (field, "openid audience:server:client_id:kube"),
        _ => (field, usual),
    });
    questions
        .token(
            "exchange for a trusted audience",
            EXCHANGE,
            CLIENT,
            &with_audience,
        )
        .await?;
    home.set_down(true);
    questions
        .token("exchange while the keys are known", EXCHANGE, OTHER, &good)
        .await?;
    home.set_down(false);
    ask_with_user_info(questions, home, &good).await
}

/// Through the connector with `getUserInfo: true`: the home issuer itself is asked about each token, and so access tokens
/// are taken as well.
async fn ask_with_user_info<I: Issuer>(
    questions: &mut Questions<'_, I>,
    home: &I,
    good: &[(&str, &str); 5],
) -> anyhow::Result<()> {
    let tokens = home.log_in(ALICE, CLIENT.0).await?;
    let before = home.counts().user_info_requests;
    for (what, token, token_type) in [
        ("an ID token", tokens.id_token.as_str(), ID_TOKEN),
        ("an access token", &tokens.access_token, ACCESS_TOKEN),
        ("an ID token as access token", &tokens.id_token, ACCESS_TOKEN),
        ("an access token as ID token", &tokens.access_token, ID_TOKEN),
        ("a refresh token", &tokens.refresh_token, ACCESS_TOKEN),
        ("garbage", "garbage", ACCESS_TOKEN),
        ("garbage as ID token", "garbage", ID_TOKEN),
    ] {
        let form = good.map(|(field, usual)| match field {
            "connector_id" => (field, WITH_USER_INFO),
            "subject_token" => (field, token),
            "subject_token_type" => (field, token_type),
            _ => (field, usual),
        });
        let what = format!("exchange of {what} with getUserInfo");
        questions.token(&what, EXCHANGE, OTHER, &form).await?;
        home.set_down(true);
        let what = format!("{what} while the home issuer is down");
        questions.token(&what, EXCHANGE, OTHER, &form).await?;
        home.set_down(false);
    }
    let asked = home.counts().user_info_requests - before;
    questions.note(&format!("{asked} questions to userinfo"), true);
    Ok(())
}
