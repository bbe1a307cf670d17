//! Signing keys that the configuration rejects.

use serde_json::json;
use tokenward_control::serve::reload::apply;
use tokenward_protocol::filter_state::{ALWAYS, EndedDigest, LIFTED};

use super::{Follower, ask};
use crate::deployment::{Deployment, Plan};

#[tokio::test]
async fn a_rejected_key_is_learned_by_every_filter_until_it_is_taken_out_again() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan {
        replicas: 2,
        ..Plan::default()
    })
    .await?;
    let mut filter = Follower::of(&deployment).await?;
    let rejected = |names: &[&str]| {
        let names = json!(names);
        deployment.changed(|document| document["issuers"][0]["rejected_keys"] = names)
    };
    let key = |name| EndedDigest::signing_key(deployment.dex.issuer(), name);
    apply(deployment.service(0), rejected(&["bad-1", "bad-2"])?)?;
    assert_eq!(
        filter.learns(&deployment).await?,
        super::sorted([(key("bad-1"), ALWAYS), (key("bad-2"), ALWAYS)])
    );
    // The other replica, with the same configuration, has nothing to add.
    apply(deployment.service(1), rejected(&["bad-1", "bad-2"])?)?;
    ask(&deployment, 1, 0, 0).await?;
    assert_eq!(filter.learns(&deployment).await?, []);

    apply(deployment.service(0), rejected(&["bad-2"])?)?;
    assert_eq!(filter.learns(&deployment).await?, [(key("bad-1"), LIFTED)]);

    // A filter without a position learns it first, however old the entry is.
    let new = ask(&deployment, 0, 0, 0).await?;
    let first = new.sign_outs.first().expect("the rejected key");
    assert_eq!((first.ended, first.last_second), (key("bad-2"), ALWAYS));
    Ok(())
}
