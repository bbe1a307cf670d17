//! A session's record that cannot be read.

use super::stage::{AWAY, GARBLED, NEWER, asked, lying_at, on, plant, session_of, warnings};
use crate::deployment::at_once;
use crate::secrecy::Captured;

const REPLACED: &str = "a login replaced a session record that cannot be read";
const REFUSED: &str = "a newer version wrote the existing record";

#[tokio::test]
async fn a_login_takes_the_place_of_a_session_that_cannot_be_read() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-1").await?;
        deployment.put_login("s-2", &login).await?;
        for (round, bytes) in GARBLED.into_iter().enumerate() {
            plant(&deployment, &session_of("s-1"), bytes).await?;
            assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.refusal(), AWAY);
            let put = deployment.put_login("s-1", &login).await?;
            assert_eq!(
                (put.status, &put.body["generation"]),
                (200, &1.into()),
                "{bytes:?}"
            );
            for session in ["s-1", "s-2"] {
                let answer = asked(&deployment, &login.id_token, session).await?;
                assert_eq!(answer.status, 200, "{bytes:?} {session}");
            }
            assert_eq!(warnings(&captured, REPLACED), round + 1, "{bytes:?}");
            deployment.advance(61);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_session_of_a_newer_version_is_left_to_it() -> anyhow::Result<()> {
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-1").await?;
        let planted = plant(&deployment, &session_of("s-1"), NEWER).await?;
        for _ in 0..3 {
            let put = deployment.put_login("s-1", &login).await?;
            assert_eq!(put.refusal(), AWAY);
        }
        assert_eq!(lying_at(&deployment, &session_of("s-1")).await?, planted);
        assert_eq!(
            (warnings(&captured, REFUSED), warnings(&captured, REPLACED)),
            (1, 0)
        );
    }
    Ok(())
}

#[tokio::test]
async fn many_puts_of_one_session_that_cannot_be_read_all_succeed_and_are_one_warning() -> anyhow::Result<()>
{
    for valkey in [false, true] {
        let (captured, _guard) = Captured::start(tracing::Level::WARN);
        let deployment = on(valkey).await?;
        let login = deployment.log_in("s-1").await?;
        plant(&deployment, &session_of("s-1"), GARBLED[3]).await?;
        let puts = (0..20).map(|_| deployment.put_login("s-1", &login));
        for put in at_once(puts).await {
            assert_eq!(put?.status, 200);
        }
        assert_eq!(asked(&deployment, &login.id_token, "s-1").await?.status, 200);
        assert_eq!(warnings(&captured, REPLACED), 1);
    }
    Ok(())
}
