//! Names that users and issuers choose.

use tokenward_harness::issuer::DexUser;

use super::stage::Stage;
use crate::deployment::Plan;

const HOSTILE: [(&str, &str); 4] = [
    (
        "markup@example.com",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
    ),
    ("quote@example.com", "\" onmouseover=\"alert(1)\" x=\"'"),
    ("bidi@example.com", "\u{202e}nimda\u{2066} \u{200b}\u{feff}"),
    ("template@example.com", "{{ 7*7 }} {% raw %} ${7*7}"),
];

#[tokio::test]
async fn hostile_names_are_text_on_every_page() -> anyhow::Result<()> {
    let mut plan = Plan::default();
    for (email, name) in HOSTILE {
        plan.dex = plan.dex.user(DexUser {
            username: name.to_owned(),
            ..DexUser::new(email)
        });
    }
    let stage = Stage::start_with(plan, serde_json::json!({})).await?;
    let tab = stage.operator().await?;
    for (email, name) in HOSTILE {
        stage.deployment.log_in_as(email, email).await?;
        let page = tab.open("/console/").await?;
        let found = tab.submit(&page, "/console/search", &[("term", name)]).await?;
        assert_eq!(found.status, 303, "{name:?}: {}", found.body);
        let user = found.location().to_owned();
        let mut pages = vec![
            tab.open(&user).await?,
            tab.open(&format!("{user}/sign-out")).await?,
            tab.open("/console/users").await?,
            tab.open("/console/sessions").await?,
        ];
        let part: String = name.chars().skip(1).collect();
        pages.push(tab.submit(&page, "/console/search", &[("term", &part)]).await?);
        for page in pages {
            assert_eq!(page.status, 200);
            for live in ["<script>alert", "<img src=x", "\" onmouseover=", ">49<"] {
                assert!(!page.body.contains(live), "{live} in {}", page.body);
            }
            let hidden = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}'];
            assert!(!page.body.contains(hidden), "{}", page.body);
        }
    }
    Ok(())
}
