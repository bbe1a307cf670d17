//! The documents in shared data: bounds, damage, other formats.

use tokenward_filter_core::state::SignOuts;
use tokenward_filter_core::state::documents::{HEAD_KEY, SERVERS_KEY, SIGN_OUTS_KEY};
use tokenward_filter_core::state::frame::{open, seal};
use tokenward_protocol::filter_state::{EndedDigest, LIFTED, MAX_SERVERS, MAX_SIGN_OUTS, SignOut};

use super::stage::{Control, add_worker, envoy, everywhere, fresh, seconds};
use crate::host::ISSUER;

fn numbered(number: u32) -> SignOut {
    SignOut {
        ended: EndedDigest::session(&number.to_string()),
        last_second: number + 1,
    }
}

#[test]
fn a_document_is_read_as_it_was_written_and_not_with_one_byte_changed() {
    let sign_outs = SignOuts::default().with(&[numbered(1), numbered(2)], 7, true);
    let document = sign_outs.document();
    let read = SignOuts::open(document.to_vec()).unwrap();
    assert_eq!(
        (read.len(), read.position(), read.revision(), read.is_whole()),
        (2, 7, 1, true)
    );
    for place in 0..document.len() {
        let mut changed = document.to_vec();
        changed[place] ^= 1;
        assert!(SignOuts::open(changed).is_none(), "byte {place}");
        assert!(
            SignOuts::open(document[..place].to_vec()).is_none(),
            "{place} bytes"
        );
    }
    assert_eq!(open(&seal(5, &[b"{", b"}"])), Some((5, &b"{}"[..])));
}

#[test]
fn of_two_entries_with_one_digest_the_later_holds_and_a_lifted_one_is_gone() {
    let ended = EndedDigest::session("s");
    let at = |last_second| SignOut { ended, last_second };
    let covers = |sign_outs: &SignOuts, second| sign_outs.cover(&[Some(ended)], Some(second));
    let first = SignOuts::default().with(&[at(10), at(20), at(15)], 3, true);
    assert!(covers(&first, 15) && !covers(&first, 16));
    assert_eq!(first.len(), 1);
    let lifted = first.with(&[at(30), at(LIFTED)], 5, true);
    assert!(lifted.is_empty() && !covers(&lifted, 1));
    let again = lifted.with(&[at(40)], 6, true);
    assert!(covers(&again, 40) && again.revision() == 3);
}

#[test]
fn a_hundred_thousand_sign_outs_are_kept_and_the_earliest_give_way() {
    let mut sign_outs = SignOuts::default();
    let most = u32::try_from(MAX_SIGN_OUTS).unwrap();
    let all: Vec<SignOut> = (0..most + 500).map(numbered).collect();
    for answer in all.chunks(8_192) {
        sign_outs = sign_outs.with(answer, 1, true);
        assert!(sign_outs.len() <= MAX_SIGN_OUTS);
        assert!(sign_outs.document().len() <= MAX_SIGN_OUTS * 12 + 26);
    }
    assert_eq!(sign_outs.len(), MAX_SIGN_OUTS);
    for (number, entry) in (0..).zip(&all) {
        let is_kept = sign_outs.cover(&[Some(entry.ended)], Some(1));
        assert_eq!(is_kept, number >= 500, "{number}");
    }
}

#[test]
fn a_full_state_is_bounded_and_taken_by_another_worker_in_one_tick() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    let servers: Vec<String> = (0..MAX_SERVERS)
        .map(|at| {
            let auth = format!(r#"{{"kind": "forward", "issuer": "{ISSUER}", "required_audiences": ["kube"]}}"#);
            format!(r#"{{"name": "server-{at}", "host": "h{at}.example.com", "path_prefix": "/mcp", "auth": {auth}}}"#)
        })
        .collect();
    control.servers = format!(r#"{{"servers": [{}]}}"#, servers.join(","));
    for number in 0..u32::try_from(MAX_SIGN_OUTS).unwrap() {
        control.end(numbered(number));
    }
    seconds(&mut envoy, &mut control, 3);
    let bytes: usize = envoy
        .host
        .shared
        .borrow()
        .iter()
        .map(|(key, value)| key.len() + value.bytes.len())
        .sum();
    assert!(bytes < 2_300_000, "{bytes} bytes of shared data");
    add_worker(&mut envoy, 2, "");
    envoy.workers[1].on_tick();
    assert_eq!(everywhere(&mut envoy, &fresh()), vec![None; 2]);
}

#[test]
fn damaged_documents_are_not_used_and_are_stored_again() {
    for key in [SERVERS_KEY, SIGN_OUTS_KEY] {
        let (mut envoy, mut control) = (envoy(1), Control::new());
        control.end(numbered(1));
        seconds(&mut envoy, &mut control, 2);
        envoy.host.shared.borrow_mut().get_mut(key).unwrap().bytes[20] ^= 1;
        add_worker(&mut envoy, 2, "");
        let missing = Some("state_missing".to_owned());
        assert_eq!(everywhere(&mut envoy, &fresh()), [None, missing], "{key}");
        seconds(&mut envoy, &mut control, 4);
        assert_eq!(everywhere(&mut envoy, &fresh()), [None, None], "{key}");
    }
}

#[test]
fn documents_of_another_format_count_as_absent() {
    let (mut envoy, mut control) = (envoy(1), Control::new());
    seconds(&mut envoy, &mut control, 2);
    for key in [HEAD_KEY, SERVERS_KEY, SIGN_OUTS_KEY] {
        envoy.host.shared.borrow_mut().get_mut(key).unwrap().bytes[0] = 99;
    }
    envoy.workers.clear();
    add_worker(&mut envoy, 2, "");
    assert_eq!(
        everywhere(&mut envoy, &fresh()),
        [Some("state_missing".to_owned())]
    );
    seconds(&mut envoy, &mut control, 10);
    assert_eq!(everywhere(&mut envoy, &fresh()), [None]);
}
