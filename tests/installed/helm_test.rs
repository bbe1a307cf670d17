//! `helm test`: what its pod runs, and whether the network lets it.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokenward_harness::parts::{DoctorRun, Rendered};
use tokenward_harness::world::World;

use super::values::of_kind;

/// A scratch image has no shell and no curl: its own binary is the test.
#[tokio::test(flavor = "multi_thread")]
async fn helm_test_finds_control_ready_with_the_images_own_program() -> anyhow::Result<()> {
    let Some((world, installation)) = World::start_installable("helm test").await? else {
        return Ok(());
    };
    let arguments = |rendered: &[Rendered]| -> anyhow::Result<Vec<String>> {
        let pod = of_kind(rendered, "Pod")?;
        ensure!(
            pod["metadata"]["annotations"]["helm.sh/hook"] == "test",
            "no hook: {pod}"
        );
        let arguments = pod["spec"]["containers"][0]["args"]
            .as_array()
            .context("no args")?;
        let arguments = arguments.iter().filter_map(Value::as_str).skip(1);
        let service = format!("http://tokenward.mcp:{}", world.control.address().port());
        // The Service's name means something in a cluster only.
        Ok(arguments
            .map(|word| word.replace(&service, &world.control.url()))
            .collect())
    };
    let rendered = installation.render()?;
    let words = arguments(&rendered)?;
    assert!(words.contains(&world.control.url()), "{words:?}");
    let run = DoctorRun::of(&words, "")?;
    assert!(run.succeeded, "{}", run.printed);
    assert_eq!(run.names("ok").len(), 2, "{}", run.printed);

    let other = installation
        .clone()
        .value("/gateway/filter/sha256", "1".repeat(64))?;
    let run = DoctorRun::of(&arguments(&other.render()?)?, "")?;
    assert!(!run.succeeded);
    assert!(
        run.check(": filter module")?
            .hint
            .contains("gateway.filter.sha256"),
        "{}",
        run.printed
    );

    // The Service must not send requests to the pod, and control's policy must admit it.
    let labels = of_kind(&rendered, "Pod")?["metadata"]["labels"].clone();
    let selector = of_kind(&rendered, "Service")?["spec"]["selector"].clone();
    let selected = |selector: &Value| {
        let mut wanted = selector.as_object().into_iter().flatten();
        wanted.all(|(key, value)| labels[key] == *value)
    };
    assert!(!selected(&selector), "{labels} {selector}");
    let policy = of_kind(&rendered, "NetworkPolicy")?;
    let from = policy["spec"]["ingress"][0]["from"]
        .as_array()
        .context("no from")?;
    let admitted = from
        .iter()
        .filter(|peer| peer["podSelector"].is_object())
        .filter(|peer| selected(&peer["podSelector"]["matchLabels"]));
    assert_eq!(admitted.count(), 1, "{from:?}");
    Ok(())
}
