//! Control serves the filter's module with its digest, and refuses to serve one of another version.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokenward_control::serve::reload::apply;
use tokenward_harness::parts::tools;

use crate::deployment::{Deployment, Plan};

const PATH: &str = "/filter/tokenward.wasm";

/// A module of WebAssembly with a version, and `more` custom bytes.
fn module(version: &str, more: &[u8]) -> Vec<u8> {
    let section = |name: &str, content: &[u8]| {
        let name_length = u8::try_from(name.len()).unwrap();
        let length = u8::try_from(1 + name.len() + content.len()).unwrap();
        [&[0, length, name_length], name.as_bytes(), content].concat()
    };
    let sections = [
        section("more", more),
        section("tokenward_version", version.as_bytes()),
    ];
    [b"\0asm\x01\0\0\0", sections.concat().as_slice()].concat()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn serving(module: &[u8]) -> anyhow::Result<Deployment> {
    Deployment::start(Plan {
        settings: json!({"filter_module": {"path": "@filter.wasm"}}),
        files: vec![("filter.wasm".to_owned(), module.to_vec())],
        ..Plan::default()
    })
    .await
}

#[tokio::test]
async fn the_module_and_its_digest_are_served_without_credentials_until_a_reload_brings_another()
-> anyhow::Result<()> {
    let first = module(env!("CARGO_PKG_VERSION"), b"one");
    let deployment = serving(&first).await?;
    let url = format!("{}{PATH}", deployment.urls[0]);
    let answer = deployment.http.get(&url).send().await?;
    let header = |name: &str| answer.headers()[name].to_str().unwrap_or_default().to_owned();
    assert_eq!(answer.status(), 200);
    assert_eq!(header("content-type"), "application/wasm");
    assert_eq!(header("etag"), format!("\"{}\"", sha256(&first)));
    assert!(header("cache-control").contains("must-revalidate"));
    assert_eq!(answer.bytes().await?, first);

    let head = deployment.http.head(&url).send().await?;
    assert_eq!(head.headers()["content-length"], first.len().to_string());
    let tag = format!("W/\"{}\", \"other\"", sha256(&first));
    let known = deployment
        .http
        .get(&url)
        .header("if-none-match", tag)
        .send()
        .await?;
    assert_eq!((known.status().as_u16(), known.bytes().await?.len()), (304, 0));
    let digest = deployment.http.get(format!("{url}.sha256")).send().await?;
    assert_eq!(
        digest.text().await?,
        format!("{}  tokenward.wasm\n", sha256(&first))
    );

    let second = module(env!("CARGO_PKG_VERSION"), b"two");
    deployment.write_file("filter.wasm", &second)?;
    // It is read at a reload only: what is announced and what is served never differ.
    assert_eq!(deployment.http.get(&url).send().await?.bytes().await?, first);
    apply(deployment.service(0), deployment.changed(|_| {})?)?;
    assert_eq!(deployment.http.get(&url).send().await?.bytes().await?, second);
    Ok(())
}

#[tokio::test]
async fn what_is_no_module_or_of_another_version_is_a_problem_of_the_configuration() -> anyhow::Result<()> {
    let deployment = serving(&module(env!("CARGO_PKG_VERSION"), b"")).await?;
    let cases = [
        (module("9.9.9", b""), "is of version \"9.9.9\""),
        (b"<html>".to_vec(), "is not a WebAssembly module"),
        (Vec::new(), "is not a WebAssembly module"),
    ];
    for (bytes, expected) in cases {
        deployment.write_file("filter.wasm", &bytes)?;
        let problem = deployment
            .changed(|_| {})
            .expect_err("it is a problem")
            .to_string();
        assert!(
            problem.contains(expected) && problem.starts_with("line "),
            "{problem}"
        );
    }
    // One without a version is served; a truncated one too: Envoy checks the digest, and V8 the rest.
    deployment.write_file("filter.wasm", b"\0asm\x01\0\0\0\x00\xff")?;
    let config = deployment.changed(|_| {})?;
    assert!(
        config
            .filter_module
            .is_some_and(|module| module.version.is_none())
    );
    Ok(())
}

#[tokio::test]
async fn without_one_the_answer_states_what_to_configure() -> anyhow::Result<()> {
    let deployment = Deployment::start(Plan::default()).await?;
    for path in [PATH.to_owned(), format!("{PATH}.sha256")] {
        let answer = deployment.get(&path).await?;
        assert_eq!(answer.status, 404);
        assert!(
            answer.text("error_description").contains("filter_module"),
            "{answer:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_module_that_the_build_makes_has_this_version() -> anyhow::Result<()> {
    let built = std::fs::read(tools::filter_module()?)?;
    let deployment = serving(&built).await?;
    let module = deployment
        .changed(|_| {})?
        .filter_module
        .expect("a module is configured");
    assert_eq!(module.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(module.sha256, sha256(&built));
    Ok(())
}
