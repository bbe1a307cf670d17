//! A short run of every fuzz target: the seeds, and the same pseudo-random mutations of them every time.

mod mutation;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutation::Mutation;
use tokenward_fuzz_oracles::{TARGETS, Target};

const MUTATIONS: usize = 20_000;

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz_folder().join("seeds").join(target.name);
    let mut seeds: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| {
            let path = entry.expect("an entry of the folder").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a readable seed"))
        })
        .collect();
    seeds.sort();
    seeds
}

fn words(target: &Target) -> Vec<Vec<u8>> {
    let path = fuzz_folder()
        .join("dictionaries")
        .join(format!("{}.dict", target.name));
    mutation::dictionary(&std::fs::read_to_string(path).expect("a dictionary"))
}

fn run(name: &str) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target of this name");
    let seeds = seeds(target);
    assert!(seeds.len() >= 4, "{} seeds", seeds.len());
    for (seed, data) in &seeds {
        checked(target, seed, data);
    }
    let data: Vec<Vec<u8>> = seeds.into_iter().map(|(_, data)| data).collect();
    let mut mutation = Mutation::new(&data, words(target));
    for number in 0..MUTATIONS {
        checked(target, &format!("mutation {number}"), &mutation.next_input());
    }
}

fn checked(target: &Target, what: &str, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.check)(data))).is_err() {
        panic!(
            "{} breaks a promise on {what}: \"{}\"",
            target.name,
            data.escape_ascii()
        );
    }
}

#[test]
fn no_token_is_read_otherwise_than_the_model_reads_it() {
    run("jwt");
}

#[test]
fn no_answer_to_an_authorization_request_goes_elsewhere_or_has_two_issuers() {
    run("authorize_query");
}

#[test]
fn no_json_is_read_otherwise_than_serde_json_reads_it() {
    run("json");
}

#[test]
fn no_accepted_configuration_is_unusable_and_no_fault_shows_the_credential() {
    run("filter_config");
}

#[test]
fn no_answer_of_control_makes_a_token_that_is_not_there() {
    run("control_answer");
}

#[test]
fn no_history_breaks_the_slot_the_gate_or_the_throttle() {
    run("pair_slot");
}

#[test]
fn no_headers_name_another_session_bearer_or_server() {
    run("request_head");
}

#[test]
fn no_form_is_read_otherwise_than_the_model_reads_it() {
    run("token_form");
}

#[test]
fn no_accepted_configuration_of_control_is_unusable_and_no_fault_shows_a_secret() {
    run("control_config");
}

#[test]
fn no_key_of_a_set_gets_lost_or_becomes_another() {
    run("key_set");
}

#[test]
fn no_discovery_document_leads_where_a_secret_must_not_go() {
    run("discovery");
}

#[test]
fn no_metadata_document_is_believed_that_another_reader_finds_otherwise() {
    run("client_document");
}

#[test]
fn no_client_id_opens_that_was_not_sealed_here() {
    run("client_registration");
}

#[test]
fn no_redirect_uri_is_accepted_that_a_browser_reads_as_another_place() {
    run("redirect_uri");
}

#[test]
fn no_answer_of_an_issuer_is_read_otherwise_than_the_model_reads_it_and_half_a_token_is_none() {
    run("issuer_answer");
}

#[test]
fn every_target_has_a_program_seeds_and_a_dictionary() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    for (folder, ending) in [("targets", ".rs"), ("dictionaries", ".dict"), ("seeds", "")] {
        let mut found: Vec<_> = std::fs::read_dir(fuzz_folder().join(folder))
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        found.sort();
        let mut expected: Vec<_> = names.iter().map(|name| format!("{name}{ending}")).collect();
        expected.sort();
        assert_eq!(found, expected, "{folder}");
    }
}
