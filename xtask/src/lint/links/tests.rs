use super::{anchors, follow, relative_links};

const PAGE: &str = "\
# Token *refresh*: how & why
See [the other](docs/a.md), [a part](docs/a.md#top) and [below](#limits), but not [this](https://host.example/x)
nor [mail](mailto:a@host.example), `[code](x.md)` or [absolute](/x). ![picture](docs/p.svg \"title\")
```markdown
[fenced](y.md)
# not a heading
```
## Limits
## Limits
";

#[test]
fn relative_links_outside_of_code_are_found() {
    assert_eq!(
        relative_links(PAGE),
        ["docs/a.md", "docs/a.md#top", "#limits", "docs/p.svg"]
    );
}

#[test]
fn headings_become_anchors_as_on_the_forge() {
    assert_eq!(anchors(PAGE), ["token-refresh-how--why", "limits", "limits-1"]);
}

#[test]
fn a_link_is_followed_to_its_file_and_heading() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(follow(root, "README.md", PAGE, "#limits-1"), Ok(()));
    assert_eq!(
        follow(root, "README.md", PAGE, "#nowhere"),
        Err("no such heading")
    );
    assert_eq!(follow(root, "README.md", PAGE, "Cargo.toml"), Ok(()));
    assert_eq!(follow(root, "src/page.md", PAGE, "../Cargo.toml#L3"), Ok(()));
    assert_eq!(
        follow(root, "src/page.md", PAGE, "Cargo.toml"),
        Err("no such file")
    );
}
