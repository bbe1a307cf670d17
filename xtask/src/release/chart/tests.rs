use super::{with_home, with_value};

const VALUES: &str = "\
# image.digest is set by a release
image:
  repository: tokenward

  digest: \"\"
gateway:
  enabled: true
  filter:
    # digest: not this one
    sha256: \"\"
    image:
      sha256: \"\"
other:
  sha256: \"\"
";

#[test]
fn a_value_is_replaced_where_its_path_leads_and_nothing_else_changes() {
    let filled = with_value(VALUES, &["gateway", "filter", "image", "sha256"], "abc").expect("a value");
    assert_eq!(
        filled,
        VALUES.replace("      sha256: \"\"", "      sha256: \"abc\"")
    );
    let filled = with_value(VALUES, &["gateway", "filter", "sha256"], "abc").expect("a value");
    assert_eq!(
        filled,
        VALUES.replace("\n    sha256: \"\"", "\n    sha256: \"abc\"")
    );
    let filled = with_value(VALUES, &["image", "digest"], "sha256:abc").expect("a value");
    assert_eq!(
        filled,
        VALUES.replacen("digest: \"\"", "digest: \"sha256:abc\"", 1)
    );
}

#[test]
fn a_path_that_leads_nowhere_is_an_error_that_names_it() {
    for path in [
        &["image", "sha256"][..],
        &["gateway", "filter", "url"],
        &["filter"],
        &["gateway", "filter"],
        &["other", "sha256", "deeper"],
    ] {
        let error = with_value(VALUES, path, "abc").expect_err("no such value");
        assert_eq!(
            error.to_string(),
            format!("the chart's values have no {}", path.join("."))
        );
    }
}

#[test]
fn a_forges_runner_says_where_the_chart_is_at_home() {
    let chart = "name: tokenward\nversion: 0.1.0\n";
    assert_eq!(with_home(chart, None), chart);
    assert_eq!(
        with_home(chart, Some("https://forge.example.com/a/b")),
        format!("{chart}home: https://forge.example.com/a/b\nsources: [https://forge.example.com/a/b]\n")
    );
}
