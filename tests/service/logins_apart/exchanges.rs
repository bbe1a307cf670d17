//! Exchanged tokens are of one login, and end with it.

use serde_json::json;

use super::stage::{asked, plan, presented};
use crate::deployment::{ADMIN, Deployment, TokenCall};
use crate::exchange::{Pair, pair_of};
use crate::exchange_endpoint::exchanged;

async fn stage() -> anyhow::Result<Pair> {
    pair_of(plan(), None, |_| {}).await
}

fn about_remote(home: &Deployment, token: &str) -> TokenCall {
    home.ask(token).server("remote")
}

#[tokio::test]
async fn each_login_has_exchanged_tokens_of_its_own_and_loses_them_at_its_end() -> anyhow::Result<()> {
    let Pair { remote, home } = stage().await?;
    let logins = [home.log_in("s-0").await?, home.log_in("s-1").await?];
    let ask = |number: usize| about_remote(&home, &logins[number].id_token).session(["s-0", "s-1"][number]);
    let first = [ask(0).send().await?, ask(1).send().await?];
    assert_eq!(first.each_ref().map(|answer| answer.status), [200, 200]);
    assert_eq!(ask(1).send().await?.token(), first[1].token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    home.end("s-0").await?;
    assert_eq!(ask(0).send().await?.refusal(), (400, "unknown_session"));
    // Its own ID token is still fresh, and opens neither the other login nor an exchange of its own.
    assert_eq!(ask(1).send().await?.token(), first[1].token());
    assert_eq!(remote.counts().exchanges_presented, 2);
    home.advance(301);
    assert_eq!(ask(1).send().await?.status, 200);
    assert_eq!((remote.counts().exchanges_presented, presented(&home)), (3, 1));
    home.sign_out(&home.dex.subject(ADMIN)).await?;
    assert_eq!(ask(1).send().await?.refusal(), (400, "unknown_session"));
    Ok(())
}

#[tokio::test]
async fn a_fresh_token_of_a_user_whose_logins_have_ended_is_not_exchanged() -> anyhow::Result<()> {
    let Pair { remote, home } = stage().await?;
    let login = home.log_in("s-1").await?;
    home.end("s-1").await?;
    let answer = about_remote(&home, &login.id_token).send().await?;
    assert_eq!(answer.refusal(), (400, "unknown_session"));
    // A later login that is not registered is exchanged by itself.
    home.advance(2);
    let later = home.dex.log_in(ADMIN, "muster").await?;
    assert_eq!(about_remote(&home, &later.id_token).send().await?.status, 200);
    assert_eq!(remote.counts().exchanges_presented, 1);
    Ok(())
}

#[tokio::test]
async fn a_given_token_belongs_to_its_user_whatever_login_it_was_made_with() -> anyhow::Result<()> {
    let Pair { remote, home } = stage().await?;
    let first = home.log_in("s-1").await?;
    home.advance(1);
    home.log_in("s-2").await?;
    // Without a handle it is made with the newest login.
    let given = exchanged(&home, &first.id_token).await?;
    assert_eq!(given.status, 200, "{given:?}");
    home.advance(301);
    for session in [None, Some("s-1"), Some("s-2")] {
        let ask = about_remote(&home, given.token());
        let ask = session.map_or(ask.clone(), |session| ask.session(session));
        let answer = ask.send().await?;
        assert_eq!(answer.status, 200, "{session:?}: {answer:?}");
        assert_ne!(answer.token(), given.token());
    }
    assert_eq!((presented(&home), remote.counts().exchanges_presented), (2, 3));
    // That login ends: the other one takes its place.
    home.end("s-2").await?;
    assert_eq!(about_remote(&home, given.token()).send().await?.status, 200);
    assert_eq!(remote.counts().exchanges_presented, 3);
    home.end("s-1").await?;
    assert_eq!(
        about_remote(&home, given.token()).send().await?.refusal(),
        (400, "unknown_session")
    );
    assert_eq!(
        asked(&home, &first, "s-1").await?.refusal(),
        (400, "unknown_session")
    );
    Ok(())
}

/// A sign-out at the issuer ends what was given in that session.
#[tokio::test]
async fn a_given_token_ends_with_the_sign_out_of_its_user() -> anyhow::Result<()> {
    let Pair { remote, home } = stage().await?;
    let login = home.log_in("s-1").await?;
    let given = exchanged(&home, &login.id_token).await?;
    home.advance(301);
    let ended = home.sign_out(&home.dex.subject(ADMIN)).await?;
    assert_eq!(ended.body, json!({"sessions": 1}));
    assert_eq!(
        about_remote(&home, given.token()).send().await?.refusal(),
        (400, "unknown_session")
    );
    assert_eq!((presented(&home), remote.counts().exchanges_presented), (0, 1));
    Ok(())
}
