//! `docs/muster.md` names tests that exist, and these name the failures that they hold down.

use std::path::Path;

use tokenward_harness::parts::tools;

#[test]
fn every_failure_on_the_page_is_held_down_by_a_test_that_names_it_or_has_a_reason() -> anyhow::Result<()> {
    let page = std::fs::read_to_string(tools::workspace().join("docs/muster.md"))?;
    let mut sources = String::new();
    for folder in ["tests/end_to_end", "tests/service", "tests/wasm"] {
        read_all(&tools::workspace().join(folder), &mut sources)?;
    }
    let sources: Vec<&str> = sources.lines().map(str::trim).collect();
    let mut named = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [failure, _what, answer] = cells[..] else {
            panic!("not three cells: {row}")
        };
        assert!(
            answer.len() > 10 || answer == "here" || answer == "why not",
            "no answer: {row}"
        );
        let names = answer.split('`').skip(1).step_by(2);
        let tests: Vec<_> = names
            .filter(|name| name.contains('_'))
            .map(|name| above(&sources, name))
            .collect();
        named += tests.len();
        for number in numbers(failure).filter(|_| !tests.is_empty()) {
            let told = tests
                .iter()
                .any(|above| numbers(above).any(|other| other == number));
            assert!(told, "no test of the row names #{number}: {row}");
        }
    }
    assert!(named >= 40, "{named} tests named");
    Ok(())
}

/// The comment and the attributes of a test.
fn above(sources: &[&str], name: &str) -> String {
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let at = sources
        .iter()
        .position(|line| begins.iter().any(|begin| line.starts_with(begin)))
        .unwrap_or_else(|| panic!("there is no test {name}"));
    let (before, _) = sources.split_at(at);
    let lines = before.iter().rev();
    let above: Vec<&str> = lines
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .copied()
        .collect();
    let is_test = above
        .iter()
        .any(|line| line.starts_with("#[test") || line.starts_with("#[tokio::test"));
    assert!(is_test, "{name} is no test");
    above.join("\n")
}

/// `549` of `#549`.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split('#').skip(1);
    after
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()
                .unwrap_or_default()
        })
        .filter(|number| !number.is_empty())
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
