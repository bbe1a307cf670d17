//! Clients choose the tokens that a filter remembers: the seed of its maps must not be one that they know.

use std::rc::Rc;

use tokenward_filter_core::config::EachTry;
use tokenward_filter_core::filter::Filter;

use super::host::{Envoy, FakeHost, HostOf};

#[test]
fn every_filter_that_remembers_tokens_takes_its_seed_from_the_host() {
    let workers = Envoy::new(2);
    assert!(workers.host.random_draws.get() >= 2);
    let host = Rc::new(FakeHost::default());
    let settings = br#"{"check_each_try": {"margin": "5s"}}"#;
    let parsed = EachTry::parse(settings).expect("the configuration of each try");
    drop(Filter::of_tries(HostOf(Rc::clone(&host)), parsed, settings));
    assert_eq!(host.random_draws.get(), 1);
}
