//! The ACL in docs/configuration.md: control's whole work needs it, all of it, and nothing more.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokenward_control::store::valkey::ValkeyStore;
use tokenward_control::store::{Key, Store as _, self_test};
use tokenward_harness::parts::Valkey;

use super::{as_user, on, set_user, with_user};
use crate::deployment::patient_valkey_config;
use crate::store_conformance::every_behaviour_of;

/// What `Store::list` needs beyond the documented ACL: no operation of control lists records yet.
pub(super) const LIST: &str = "+scan";

/// The rules that the document gives, without the user, its password and `on`.
pub(super) fn documented() -> anyhow::Result<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text = std::fs::read_to_string(file)?;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("ACL SETUSER tokenward on >PASSWORD "))
        .collect();
    let [line] = lines.as_slice() else {
        anyhow::bail!("not exactly one ACL in docs/configuration.md: {lines:?}");
    };
    Ok(line.split(' ').skip(5).map(str::to_owned).collect())
}

fn words(rules: &[String]) -> Vec<&str> {
    rules.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_control_does_with_a_store_works_with_the_documented_acl() -> anyhow::Result<()> {
    let rules = documented()?;
    let valkey = with_user(&[&words(&rules)[..], &[LIST]].concat()).await?;
    let store = ValkeyStore::connect(as_user(patient_valkey_config(valkey.url()))).await?;
    assert!(every_behaviour_of(Arc::new(store)).await? > 0);
    assert_eq!(refused(&valkey).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_stored_refreshed_explained_ended_and_signed_out_with_the_documented_acl()
-> anyhow::Result<()> {
    let valkey = with_user(&words(&documented()?)).await?;
    let deployment = on(&valkey).await?;
    let tokens = deployment.log_in("s-1").await?;
    deployment.advance(301);
    let ask = deployment.ask(&tokens.id_token).session("s-1");
    assert_eq!(ask.send().await?.status, 200);
    assert_eq!(deployment.status("s-1").await?.status, 200);
    assert_eq!(deployment.end("s-1").await?.status, 204);
    deployment.log_in("s-2").await?;
    let subject = deployment.dex.subject(crate::deployment::ADMIN);
    assert_eq!(deployment.sign_out(&subject).await?.status, 200);
    assert_eq!(deployment.get("/readyz").await?.status, 200);
    assert_eq!(refused(&valkey).await?, 0);
    Ok(())
}

/// How many commands the ACL refused, except those by which a connection describes itself: the client ignores those
/// refusals.
async fn refused(valkey: &Valkey) -> anyhow::Result<i64> {
    const COUNT: &str = "local denied = string.match(redis.call('INFO', 'stats'), 'acl_access_denied_cmd:(%d+)') \
        local own = string.match(redis.call('INFO', 'commandstats'), 'client|setinfo:[^\\r]*rejected_calls=(%d+)') \
        return tonumber(denied) - tonumber(own or '0')";
    let reply = valkey.command(&["EVAL", COUNT, "0"]).await?;
    reply
        .trim_end()
        .trim_start_matches(':')
        .parse()
        .with_context(|| reply.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_command_of_the_documented_acl_is_needed_and_a_trial_names_the_one_that_is_missing()
-> anyhow::Result<()> {
    let rules = documented()?;
    let valkey = with_user(&words(&rules)).await?;
    let store = ValkeyStore::connect(as_user(patient_valkey_config(valkey.url()))).await?;
    self_test::run(&store).await?;
    let commands: Vec<&String> = rules.iter().filter(|rule| rule.starts_with('+')).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for left_out in commands {
        let fewer: Vec<&str> = words(&rules)
            .into_iter()
            .filter(|rule| rule != left_out)
            .collect();
        let command = left_out.trim_start_matches('+');
        valkey.command(&["SCRIPT", "FLUSH"]).await?;
        set_user(&valkey, &fewer).await?;
        let said = match command {
            // What lineage may lack.
            "info" => {
                self_test::run(&store).await?;
                assert_eq!(store.lineage(&Key::new("trial", "")).await?, None);
                continue;
            }
            // Without it no recent read is used again.
            "client|tracking" => {
                self_test::run(&store).await?;
                continue;
            }
            // Without them only the activity is not recorded.
            "xadd" | "xrange" | "xrevrange" => {
                self_test::run(&store).await?;
                self_test::streams(&store).await.expect_err(command)
            }
            "ping" => store.ping().await.expect_err(command),
            command => self_test::run(&store).await.expect_err(command),
        };
        assert!(
            said.cause().contains(&format!("the command {command} (NOPERM)")),
            "{command}: {}",
            said.cause()
        );
        assert!(said.hint().contains("docs/configuration.md"), "{}", said.hint());
    }
    Ok(())
}
