use std::path::Path;

use super::{Mirror, mirrors_in_lines, mirrors_in_paragraphs, private_configuration, versions_in_madison};

fn mirror(address: &str, signed_by: Option<&str>) -> Mirror {
    Mirror {
        address: address.to_owned(),
        signed_by: signed_by.map(str::to_owned),
    }
}

#[test]
fn one_line_sources_give_mirrors_with_their_keys() {
    let text = "\
# deb http://commented.example/debian stable main
deb http://mirror.example/debian stable main contrib
deb [arch=amd64 signed-by=/keys/a.gpg] https://other.example/debian stable main
deb-src http://mirror.example/debian stable main
deb https://vendor.example/apt any vendor-only
";
    let expected = [
        mirror("http://mirror.example/debian", None),
        mirror("https://other.example/debian", Some("/keys/a.gpg")),
    ];
    assert_eq!(mirrors_in_lines(text), expected);
}

#[test]
fn paragraph_sources_give_mirrors_and_skip_what_is_disabled_or_source_only() {
    let text = "\
Types: deb deb-src
# a comment inside
URIs: http://mirror.example/debian http://second.example/debian
Suites: stable stable-updates
Components: main
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://disabled.example/debian
Suites: stable
Components: main
Enabled: no

Types: deb-src
URIs: http://sources.example/debian
Suites: stable
Components: main

Types: deb
URIs: http://inline.example/debian
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
";
    let expected = [
        mirror("http://mirror.example/debian", Some("/keys/debian.gpg")),
        mirror("http://second.example/debian", Some("/keys/debian.gpg")),
        mirror("http://inline.example/debian", None),
    ];
    assert_eq!(mirrors_in_paragraphs(text), expected);
}

#[test]
fn the_private_configuration_retains_the_network_settings_and_no_hooks() {
    let dump = "\
APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/*.bin\";
Acquire::http::Proxy \"http://proxy.example:3128\";
DPkg::Pre-Install-Pkgs:: \"/usr/sbin/ask\";
Dir::State::Lists \"lists/\";
";
    let configuration = private_configuration(dump, Path::new("/repo/target/tools/apt"));
    assert!(configuration.starts_with("Acquire::http::Proxy \"http://proxy.example:3128\";\n"));
    assert!(!configuration.contains("Invoke") && !configuration.contains("DPkg"));
    assert!(configuration.contains("Dir::State::Lists \"/repo/target/tools/apt/lists\";"));
}

#[test]
fn madison_lists_versions_newest_first() {
    let listed = "\
  rust-src | 1.96.1+dfsg1-2~bpo13+1 | http://mirror.example/debian backports/main amd64 Packages
  rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://mirror.example/debian backports/main amd64 Packages
  rustc | 1.96.1+dfsg1-2~bpo13+1 | http://mirror.example/debian backports/main Sources
";
    assert_eq!(
        versions_in_madison(listed),
        ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1"]
    );
    assert!(versions_in_madison("").is_empty());
}
