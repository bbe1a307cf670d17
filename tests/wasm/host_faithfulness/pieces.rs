//! The parts that need no module: shared data, queues, clock, wire format, properties, metrics.

use tokenward_wasm_host::clock::Clock;
use tokenward_wasm_host::metrics::{MetricKind, Metrics};
use tokenward_wasm_host::properties::Properties;
use tokenward_wasm_host::shared_data::{CasMismatch, SharedData};
use tokenward_wasm_host::shared_queues::{SharedQueues, UnknownQueue};
use tokenward_wasm_host::{Headers, Status, wire};

#[test]
fn a_missing_key_is_inserted_whatever_the_cas_number() {
    let mut shared = SharedData::default();
    assert_eq!(shared.set(b"claim", b"mine", u32::MAX), Ok(()));
    assert_eq!(shared.set(b"claim", b"yours", u32::MAX), Err(CasMismatch));
    assert_eq!(shared.get(b"claim"), Some((&b"mine"[..], 1)));
    assert_eq!(shared.mismatches(), 1);
}

#[test]
fn cas_zero_overwrites_and_a_stale_number_does_not() {
    let mut shared = SharedData::default();
    shared.set(b"k", b"one", 0).unwrap();
    shared.set(b"k", b"two", 1).unwrap();
    assert_eq!(shared.set(b"k", b"late", 1), Err(CasMismatch));
    shared.set(b"k", b"three", 0).unwrap();
    assert_eq!(shared.get(b"k"), Some((&b"three"[..], 3)));
}

#[test]
fn one_counter_numbers_the_sets_of_all_keys_and_never_gives_zero() {
    let mut shared = SharedData::with_next_cas(u32::MAX);
    shared.set(b"a", b"", 0).unwrap();
    shared.set(b"b", b"", 0).unwrap();
    shared.set(b"c", b"", 0).unwrap();
    let numbers: Vec<u32> = [&b"a"[..], b"b", b"c"]
        .iter()
        .map(|key| shared.get(key).unwrap().1)
        .collect();
    assert_eq!(numbers, [u32::MAX, 1, 2]);
}

#[test]
fn an_empty_value_keeps_its_key() {
    let mut shared = SharedData::default();
    shared.set(b"slot", b"full", 0).unwrap();
    shared.set(b"slot", b"", 0).unwrap();
    assert_eq!(shared.get(b"slot"), Some((&b""[..], 2)));
    assert_eq!((shared.key_count(), shared.byte_count()), (1, 4));
}

#[test]
fn a_queue_belongs_to_its_last_registrant_and_keeps_its_items() {
    let mut queues = SharedQueues::default();
    let id = queues.register(b"wake", "first");
    assert_eq!(queues.enqueue(id, b"1".to_vec()), Ok("first"));
    assert_eq!(queues.register(b"wake", "second"), id);
    assert_eq!(queues.enqueue(id, b"2".to_vec()), Ok("second"));
    let items: Vec<_> = (0..3).map(|_| queues.dequeue(id).unwrap()).collect();
    assert_eq!(items, [Some(b"1".to_vec()), Some(b"2".to_vec()), None]);
    assert_eq!(queues.dequeue(id + 1), Err(UnknownQueue));
    assert_eq!((queues.resolve(b"wake"), queues.count()), (Some(id), 1));
}

#[test]
fn the_wall_clock_steps_and_the_steady_one_does_not() {
    let mut clock = Clock::starting_at(1_000_000);
    clock.advance_to(500);
    clock.step_wall_ms(-200_000);
    assert_eq!((clock.now_ms(), clock.elapsed_ms()), (800_500, 500));
    clock.advance_to(100);
    assert_eq!(clock.elapsed_ms(), 500, "time never goes back");
}

#[test]
fn pairs_carry_any_bytes() {
    let headers = Headers::new()
        .with("x-empty", "")
        .with("x-bytes", [0xff, 0x80, b'a'])
        .with("x-bytes", "again");
    assert_eq!(wire::decode_pairs(&wire::encode_pairs(&headers)), Some(headers));
    assert_eq!(wire::decode_pairs(&[]), Some(Headers::new()));
    assert_eq!(wire::decode_pairs(&[1, 0, 0, 0, 9, 0, 0, 0]), None, "cut short");
    assert_eq!(
        wire::decode_pairs(&2000_u32.to_le_bytes()),
        None,
        "more pairs than Envoy reads"
    );
}

#[test]
fn replacing_a_repeated_header_leaves_one_in_the_first_ones_place() {
    let mut headers = Headers::new().with("A", "1").with("b", "2").with("a", "3");
    headers.replace("a", "new");
    assert_eq!(headers, Headers::new().with("a", "new").with("b", "2"));
    headers.remove("A");
    assert_eq!(headers, Headers::new().with("b", "2"));
}

#[test]
fn route_metadata_is_found_in_envoys_encodings() {
    let mut properties = Properties::new();
    properties.set_route_annotations(&[("tokenward-server", "kubernetes")]);
    let path =
        b"xds\0route_metadata\0filter_metadata\0envoy-gateway\0resources\x000\0annotations\0tokenward-server";
    assert_eq!(
        properties.get(&wire::property_path(path)),
        Some(b"kubernetes".to_vec())
    );
    assert_eq!(
        properties.get(&wire::property_path(
            b"xds\0route_metadata\0filter_metadata\0other"
        )),
        None
    );
    properties.set_route_metadata(serde_json::json!({"n": {"half": 0.5, "on": true}}));
    let half = properties.get(&wire::property_path(
        b"xds\0route_metadata\0filter_metadata\0n\0half",
    ));
    assert_eq!(half, Some(0.5_f64.to_le_bytes().to_vec()));
}

#[test]
fn a_counter_takes_only_positive_steps() {
    let mut metrics = Metrics::default();
    metrics.define(MetricKind::Counter, "c");
    assert_eq!(metrics.increment(MetricKind::Counter, "c", 2), Status::Ok);
    assert_eq!(
        metrics.increment(MetricKind::Counter, "c", 0),
        Status::BadArgument
    );
    assert_eq!(
        metrics.increment(MetricKind::Counter, "c", -1),
        Status::BadArgument
    );
    assert_eq!(
        metrics.increment(MetricKind::Histogram, "h", 1),
        Status::BadArgument
    );
    assert_eq!(metrics.counter("c"), 2);
}
