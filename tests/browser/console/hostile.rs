//! Names that users choose, in a real browser.

use tokenward_harness::issuer::DexUser;
use tokenward_tests::deployment::Plan;

use super::stage::{Stage, complaints};
use crate::chromium::Manner;

#[tokio::test]
async fn a_hostile_name_is_text_and_leaves_the_page_readable_on_a_phone() -> anyhow::Result<()> {
    let names = [
        "<h1 onclick=alert(1)>Root</h1><script>document.title='taken'</script><img src=//evil.example/a.png>"
            .to_owned(),
        "\u{202e}nimda\u{2066}\u{200f} si siht\u{2069}".to_owned(),
        "W".repeat(250),
        format!("Alice{}", "\u{0301}".repeat(60)),
    ];
    let mut plan = Plan::default();
    for (number, name) in names.iter().enumerate() {
        plan.dex = plan.dex.user(DexUser {
            username: name.clone(),
            ..DexUser::new(&format!("hostile-{number}@example.com"))
        });
    }
    let Some(browser) = crate::browser("hostile names at the console", Manner::PHONE).await? else {
        return Ok(());
    };
    let stage = Stage::set(plan).await?;
    stage.log_in(&browser, "/console/").await?;
    for number in 0..names.len() {
        let email = format!("hostile-{number}@example.com");
        let handle = format!("laptop-{number}");
        stage.deployment.log_in_as(&handle, &email).await?;
        browser.fill_in("#term", &email).await?;
        browser.click(".search button").await?;
        browser.element("#sign-out").await?;
        assert_eq!(browser.overflow().await?, 0, "{number}");
        assert!(
            browser.title().await?.ends_with("· Tokenward console"),
            "{number}"
        );
        assert!(
            !browser.has("main img, main script, main h1 h1").await?,
            "{number}"
        );
        let text = browser.text().await?;
        let hidden = ['\u{202e}', '\u{2066}', '\u{200f}', '\u{2069}'];
        assert!(!text.contains(hidden), "{text:?}");
        browser.picture(&format!("console-hostile-{number}")).await?;
    }
    assert_eq!(complaints(&browser).await?, [] as [String; 0]);
    Ok(())
}
