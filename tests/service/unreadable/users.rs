//! A user's own grant that cannot be read, at an issuer with a refresh token for each login: it holds the sign-outs.

use tokenward_control::store::Store;

use super::stage::{AWAY, GARBLED, UNKNOWN, asked, grant_of, lying_at, plant};
use crate::deployment::{ADMIN, Deployment, Plan};
use crate::logins_apart::stage::plan;

#[tokio::test]
async fn the_logins_of_before_go_on_once_they_are_registered_again() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let deployment = Deployment::start(Plan { valkey, ..plan() }).await?;
        deployment.sign_out(&deployment.dex.subject(ADMIN)).await?;
        deployment.advance(2);
        let logins = [deployment.log_in("s-0").await?, deployment.log_in("s-1").await?];
        deployment.advance(301);
        for (round, bytes) in GARBLED.into_iter().enumerate() {
            let planted = plant(&deployment, &grant_of(&deployment), bytes).await?;
            for (login, session) in logins.iter().zip(["s-0", "s-1"]) {
                assert_eq!(
                    asked(&deployment, &login.id_token, session).await?.refusal(),
                    AWAY
                );
            }
            // The first registration replaces it. It may have been a sign-out, so the other login waits for its own.
            assert_eq!(deployment.put_login("s-0", &logins[0]).await?.status, 200);
            assert!(lying_at(&deployment, &grant_of(&deployment)).await?.revision > planted.revision);
            assert_eq!(
                asked(&deployment, &logins[1].id_token, "s-1").await?.refusal(),
                UNKNOWN,
                "{bytes:?}"
            );
            assert_eq!(deployment.put_login("s-1", &logins[1]).await?.status, 200);
            for (login, session) in logins.iter().zip(["s-0", "s-1"]) {
                let answer = asked(&deployment, &login.id_token, session).await?;
                assert_eq!(answer.status, 200, "{bytes:?}: {answer:?}");
            }
            // The newest refresh tokens were not lost with it.
            assert_eq!(deployment.dex.counts().refreshes_presented, 2 * (round + 1));
            assert_eq!(deployment.dex.counts().refreshes_succeeded, 2 * (round + 1));
            deployment.advance(301);
        }
        assert!(deployment.store().read(&grant_of(&deployment)).await?.is_some());
    }
    Ok(())
}
