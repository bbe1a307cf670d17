//! What a session and a question cost a Valkey: bytes and commands, counted by the server itself. Nothing that was read before is
//! held: `recent_reads` counts what that spares.

use std::sync::Arc;
use std::time::Duration;

use tokenward_control::store::valkey::{ValkeyConfig, ValkeyStore};
use tokenward_harness::issuer::{DexConfig, DexUser};
use tokenward_harness::parts::Valkey;

use crate::deployment::{Deployment, Plan, valkey_config};

const PATIENCE: Duration = Duration::from_secs(30);

const ALICE: &str = "alice@example.com";

/// Bytes of every key that belongs to a session or its grant, as the server accounts for them: all but an issuer's keys and
/// the activity, which is bounded for all sessions together.
const BYTES: &str = "local sum = 0 \
    for _, key in ipairs(redis.call('KEYS', 'tokenward:{*')) do \
      if not string.find(key, '{keys:', 1, true) and not string.find(key, '{activity|', 1, true) then sum = sum + redis.call('MEMORY', 'USAGE', key) end \
    end \
    return sum";

/// Commands so far, but for those that count.
const COMMANDS: &str = "local sum = 0 \
    for name, calls in string.gmatch(redis.call('INFO', 'commandstats'), 'cmdstat_(%a+):calls=(%d+)') do \
      if name ~= 'info' and name ~= 'eval' then sum = sum + calls end \
    end \
    return sum";

async fn number(valkey: &Valkey, script: &str) -> anyhow::Result<usize> {
    let reply = valkey.command(&["EVAL", script, "0"]).await?;
    let digits = reply.strip_prefix(':').unwrap_or(&reply).trim();
    digits.parse().map_err(|_| anyhow::anyhow!("EVAL: {reply}"))
}

async fn on(valkey: &Valkey) -> anyhow::Result<Deployment> {
    let store = ValkeyStore::connect(ValkeyConfig {
        client_side_caching: false,
        ..valkey_config(valkey.url())
    })
    .await?;
    Deployment::start(Plan {
        dex: DexConfig::default().user(DexUser::new(ALICE).with_many_groups()),
        engine: Some(Arc::new(store)),
        ..Plan::default()
    })
    .await
}

#[tokio::test]
async fn a_session_takes_at_most_two_bytes_for_each_byte_of_its_tokens() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let deployment = on(&valkey).await?;
    let tokens = deployment.log_in_as("s-1", ALICE).await?;
    let token_bytes = tokens.id_token.len() + tokens.refresh_token.len();
    let kept_bytes = number(&valkey, BYTES).await?;
    assert!(token_bytes > 1000, "{token_bytes}");
    assert!(
        kept_bytes > token_bytes && kept_bytes <= 2 * token_bytes,
        "{kept_bytes} bytes for tokens of {token_bytes}"
    );
    Ok(())
}

#[tokio::test]
async fn a_token_costs_one_read_and_that_of_a_named_session_two() -> anyhow::Result<()> {
    const QUESTIONS: usize = 5;
    let valkey = Valkey::start().await?;
    let deployment = on(&valkey).await?;
    let tokens = deployment.log_in_as("s-1", ALICE).await?;
    let mut costs = Vec::new();
    for session in [None, Some("s-1")] {
        let ask = deployment.ask(&tokens.id_token);
        let first = session.map_or(ask.clone(), |session| ask.session(session));
        // The first request of a pair is recorded beside it, once.
        assert_eq!(first.send().await?.token(), tokens.id_token);
        assert!(deployment.service(0).drain(PATIENCE).await);
        let before = number(&valkey, COMMANDS).await?;
        for _ in 0..QUESTIONS {
            let ask = deployment.ask(&tokens.id_token);
            let ask = session.map_or(ask, |session| deployment.ask(&tokens.id_token).session(session));
            assert_eq!(ask.send().await?.token(), tokens.id_token);
        }
        costs.push(number(&valkey, COMMANDS).await? - before);
    }
    assert_eq!(costs, [QUESTIONS, 2 * QUESTIONS]);
    Ok(())
}

#[tokio::test]
async fn what_the_store_no_longer_has_is_refused_at_the_next_question() -> anyhow::Result<()> {
    let valkey = Valkey::start().await?;
    let deployment = on(&valkey).await?;
    let tokens = deployment.log_in_as("s-1", ALICE).await?;
    assert_eq!(deployment.ask(&tokens.id_token).send().await?.status, 200);
    let gone = "return redis.call('DEL', unpack(redis.call('KEYS', 'tokenward:{g:*}')))";
    assert_eq!(number(&valkey, gone).await?, 1);
    let answer = deployment.ask(&tokens.id_token).send().await?;
    assert_eq!(answer.refusal(), (503, "not_registered"));
    Ok(())
}
