//! `docs/muster.md` names tests that exist.

use std::path::Path;

use tokenward_tests::parts::tools;

#[test]
fn every_failure_on_the_page_is_held_down_by_a_test_that_exists_or_has_a_reason() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(tools::workspace().join("docs/muster.md"))?;
    let mut sources = String::new();
    for folder in ["tests/gateway", "tests/control", "tests/filter"] {
        read_all(&tools::workspace().join(folder), &mut sources)?;
    }
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_failure, _what, answer] = cells[..] else {
            panic!("not three cells: {row}")
        };
        assert!(
            answer.len() > 10 || answer == "here" || answer == "why not",
            "no answer: {row}"
        );
        for name in answer
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('_'))
        {
            assert!(
                sources.contains(&format!("fn {name}(")),
                "there is no test {name}"
            );
            named += 1;
        }
    }
    assert!(named >= 40, "{named} tests named");
    Ok(())
}

fn read_all(folder: &Path, sources: &mut String) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, sources)?;
        } else {
            sources.push_str(&std::fs::read_to_string(&path)?);
        }
    }
    Ok(())
}
