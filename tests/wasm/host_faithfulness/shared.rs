//! What VMs share, and what the host tells them: races, queues, stats, properties, logs, environment.

use tokenward_wasm_host::{Gateway, Headers, LogLevel, Outcome, Status, Thread};

use tokenward_wasm_host::probe::{
    Argument, OUT, OUT_LENGTH, Probe, Step, WORD, get_shared, log_info, log_returned, number, set_shared,
    text,
};

fn send(gateway: &Gateway, worker: usize) -> Outcome {
    let headers = Headers::request("POST", "mcp.example.com", "/");
    gateway.worker(worker).request(headers).outcome()
}

#[test]
fn a_race_is_lost_exactly_where_the_test_places_it() {
    let compare_and_set = set_shared("slot", "mine", Argument::Stored(WORD));
    let probe = Probe::new().on(
        "proxy_on_request_headers",
        [get_shared("slot"), compare_and_set, Step::Return(0)],
    );
    let gateway = probe.gateway().workers(2).start().unwrap();
    gateway.overwrite_shared_data(b"slot", b"old");
    gateway.race(0, "proxy_set_shared_data", 1, |gateway| {
        assert!(matches!(send(gateway, 1), Outcome::Forwarded { .. }));
    });
    assert!(matches!(send(&gateway, 0), Outcome::Forwarded { .. }));
    assert_eq!(gateway.races_waiting(), 0);
    let outcomes: Vec<(Thread, Option<Status>)> = gateway
        .host_calls()
        .0
        .iter()
        .filter(|call| call.function == "proxy_set_shared_data")
        .map(|call| (call.thread, call.status))
        .collect();
    assert_eq!(
        outcomes,
        [
            (Thread::Worker(1), Some(Status::Ok)),
            (Thread::Worker(0), Some(Status::CasMismatch))
        ]
    );
}

#[test]
fn a_race_waits_for_its_own_worker_and_its_own_call() {
    let probe = Probe::new().on("proxy_on_request_headers", [get_shared("slot"), Step::Return(0)]);
    let gateway = probe.gateway().workers(3).start().unwrap();
    gateway.race(1, "proxy_get_shared_data", 2, |gateway| _ = send(gateway, 2));
    let waiting: Vec<usize> = [0, 0, 1, 1]
        .into_iter()
        .map(|worker| {
            let _ = send(&gateway, worker);
            gateway.races_waiting()
        })
        .collect();
    assert_eq!(waiting, [1, 1, 1, 0]);
    assert_eq!(gateway.forwarded().len(), 5);
}

#[test]
fn every_item_of_a_queue_goes_to_the_last_vm_that_registered_it() {
    let register = Step::Call("proxy_register_shared_queue", vec![text("wake"), number(WORD)]);
    let enqueue = Step::Call(
        "proxy_enqueue_shared_queue",
        vec![Argument::Stored(WORD), text("item")],
    );
    let probe = Probe::new()
        .on("proxy_on_configure", [register, Step::Return(1)])
        .on(
            "proxy_on_request_headers",
            [enqueue.clone(), enqueue, Step::Return(0)],
        )
        .on("proxy_on_queue_ready", [log_info("woken")]);
    let gateway = probe.gateway().workers(2).start().unwrap();
    let _ = send(&gateway, 0);
    let woken = [Thread::Main, Thread::Worker(0), Thread::Worker(1)]
        .map(|thread| gateway.callback_count(thread, "proxy_on_queue_ready"));
    assert_eq!(woken, [0, 0, 2]);
    assert_eq!(gateway.shared_queue_count(), 1);
}

#[test]
fn lines_below_the_hosts_level_are_not_written() {
    let probe = Probe::new().on("proxy_on_request_headers", [log_info("said"), Step::Return(0)]);
    let gateway = probe.gateway().log_level(LogLevel::Warn).start().unwrap();
    let _ = send(&gateway, 0);
    assert_eq!(gateway.logs().len(), 0);
    gateway.set_log_level(LogLevel::Info);
    let _ = send(&gateway, 0);
    assert_eq!(gateway.logs().len(), 1);
}

#[test]
fn stats_of_all_vms_add_up() {
    let define = Step::Call(
        "proxy_define_metric",
        vec![number(0), text("server=k.requests_total"), number(WORD)],
    );
    let step = |by| {
        Step::Call(
            "proxy_increment_metric",
            vec![Argument::Stored(WORD), Argument::Wide(by)],
        )
    };
    let probe = Probe::new()
        .on("proxy_on_configure", [define, Step::Return(1)])
        .on("proxy_on_request_headers", [step(2), step(0), Step::Return(0)]);
    let gateway = probe.gateway().workers(2).start().unwrap();
    let _ = (send(&gateway, 0), send(&gateway, 1));
    assert_eq!(gateway.metrics().counter("server=k.requests_total"), 4);
    assert_eq!(gateway.metrics().counters().len(), 1);
    let returned = gateway.host_calls().statuses("proxy_increment_metric");
    assert_eq!(
        returned,
        [Status::Ok, Status::BadArgument, Status::Ok, Status::BadArgument]
    );
}

#[test]
fn the_environment_and_the_clocks_are_there_through_wasi() {
    const TEXT: i32 = 60_000;
    let wasi = |name, arguments: &[i32]| Step::Call(name, arguments.iter().copied().map(number).collect());
    let read = Step::Call(
        "proxy_log",
        vec![number(2), number(TEXT), Argument::Stored(OUT_LENGTH)],
    );
    let probe = Probe::new().on(
        "proxy_on_request_headers",
        [
            wasi("environ_sizes_get", &[OUT, OUT_LENGTH]),
            wasi("environ_get", &[OUT, TEXT]),
            wasi("environ_sizes_get", &[OUT, OUT_LENGTH]),
            read,
            Step::Call("clock_time_get", vec![number(1), Argument::Wide(1), number(TEXT)]),
            wasi("proxy_log", &[2, TEXT, 8]),
            Step::Return(0),
        ],
    );
    let gateway = probe
        .gateway()
        .environment("CREDENTIAL", "secret")
        .start()
        .unwrap();
    gateway.advance_ms(1000);
    let _ = send(&gateway, 0);
    let logs = gateway.logs();
    assert_eq!(logs[0].message, "CREDENTIAL=secret\0");
    let nanoseconds: Vec<u8> = 1_000_000_000_u64.to_le_bytes().to_vec();
    assert_eq!(logs[1].message, String::from_utf8_lossy(&nanoseconds));
    assert_eq!(gateway.host_calls().count("environ_get"), 1);
}

#[test]
fn a_property_that_is_not_there_is_not_found() {
    let get = |path: &str| {
        Step::Call(
            "proxy_get_property",
            vec![text(path), number(OUT), number(OUT_LENGTH)],
        )
    };
    let probe = Probe::new()
        .on(
            "proxy_on_configure",
            [get("plugin_name"), get("xds\0route_name"), Step::Return(1)],
        )
        .on(
            "proxy_on_request_headers",
            [
                get("xds\0route_name"),
                log_returned(),
                get("route_name"),
                Step::Return(0),
            ],
        );
    let gateway = probe
        .gateway()
        .property(&["xds", "route_name"], "kubernetes")
        .start()
        .unwrap();
    let at_configure = gateway.host_calls().statuses("proxy_get_property");
    assert_eq!(
        at_configure[..2],
        [Status::Ok, Status::NotFound],
        "a root context knows no route"
    );
    gateway.forget_host_calls();
    let _ = send(&gateway, 0);
    assert_eq!(
        gateway.host_calls().statuses("proxy_get_property"),
        [Status::Ok, Status::NotFound]
    );
    assert_eq!(gateway.logs()[0].message, "kubernetes");
}
