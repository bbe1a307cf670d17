//! Pages of the documentation, as text that tests run.

use anyhow::Context as _;
use tokenward_harness::parts::tools;

/// A file of the repository.
///
/// # Errors
/// When there is none.
pub fn document(path: &str) -> anyhow::Result<String> {
    let path = tools::workspace().join(path);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Every page for operators, in `docs` and below `envoy`, in order: paths from the root of the repository.
///
/// # Errors
/// When a folder cannot be read.
pub fn pages() -> anyhow::Result<Vec<String>> {
    let root = tools::workspace();
    let mut folders = vec![root.join("docs"), root.join("envoy")];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(&root)?.display().to_string());
            }
        }
    }
    pages.sort();
    Ok(pages)
}

/// A page's fenced blocks of one language; one in a list without its indent.
///
/// # Errors
/// When there is no such page.
pub fn blocks(path: &str, language: &str) -> anyhow::Result<Vec<String>> {
    let page = document(path)?;
    let begin = format!("```{language}");
    let mut lines = page.lines();
    let mut blocks = Vec::new();
    while let Some(fence) = lines.find(|line| line.trim_start() == begin) {
        let indent = fence.len() - begin.len();
        let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
        blocks.push(
            block
                .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
                .collect(),
        );
    }
    Ok(blocks)
}
