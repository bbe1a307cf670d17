//! One writer: the holder of the Lease.

use tokenward_kubernetes::leader::{Election, LeaseRecord, Step};

fn lease(holder: Option<&str>, version: &str) -> LeaseRecord {
    LeaseRecord {
        resource_version: Some(version.to_owned()),
        holder: holder.map(str::to_owned),
        transitions: 3,
    }
}

#[test]
fn a_lease_that_is_renewed_is_never_taken_over_and_one_that_is_not_is_after_fifteen_seconds() {
    let mut election = Election::new("b".to_owned());
    for (second, version) in [(0, "1"), (10, "2"), (20, "3"), (30, "3"), (34, "3")] {
        let step = election.next(Some(&lease(Some("a"), version)), second * 1_000);
        assert_eq!(step, Step::Follow, "at {second} s");
    }
    let Step::Write(record) = election.next(Some(&lease(Some("a"), "3")), 35_000) else {
        panic!("it is over");
    };
    assert_eq!((record.holder.as_deref(), record.transitions), (Some("b"), 4));
    // It replaces what was seen, so that only one of several wins.
    assert_eq!(record.resource_version.as_deref(), Some("3"));
}

#[test]
fn a_leader_that_cannot_renew_stops_before_another_can_begin() {
    let mut election = Election::new("a".to_owned());
    assert!(matches!(election.next(None, 1_000), Step::Write(_)));
    assert!(!election.leads(1_000));
    election.written(1_000);
    assert!(election.leads(15_999));
    assert!(!election.leads(16_000));
    election.lost();
    assert!(!election.leads(2_000));
}

#[test]
fn a_lease_that_was_given_up_is_free_at_once_and_ones_own_is_renewed() {
    let mut election = Election::new("a".to_owned());
    assert!(matches!(
        election.next(Some(&lease(None, "1")), 0),
        Step::Write(_)
    ));
    let Step::Write(renewed) = election.next(Some(&lease(Some("a"), "2")), 0) else {
        panic!("it is ours");
    };
    assert_eq!(renewed.transitions, 3);
}
