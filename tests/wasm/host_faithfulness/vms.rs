//! Many VMs: starting, ticking, dying, racing, and being configured anew.

use tokenward_wasm_host::{CalloutReply, Gateway, Headers, Outcome, StartFailure, Thread};

use tokenward_wasm_host::probe::{
    Probe, Step, as_first_stream, call_out, get_shared, log_info, number, resume, set_shared,
};

const WORKERS: [Thread; 3] = [Thread::Main, Thread::Worker(0), Thread::Worker(1)];

fn send(gateway: &Gateway, worker: usize) -> Outcome {
    gateway
        .worker(worker)
        .request(Headers::request("POST", "mcp.example.com", "/"))
        .outcome()
}

fn per_thread(gateway: &Gateway, callback: &'static str) -> Vec<usize> {
    WORKERS
        .iter()
        .map(|thread| gateway.callback_count(*thread, callback))
        .collect()
}

fn ticking(period_ms: i32) -> Probe {
    let period = Step::Call("proxy_set_tick_period_milliseconds", vec![number(period_ms)]);
    Probe::new()
        .on("proxy_on_configure", [period, Step::Return(1)])
        .on("proxy_on_tick", [log_info("tick")])
}

#[test]
fn a_canary_the_main_thread_and_every_worker_are_configured() {
    let probe = Probe::new()
        .on("_initialize", [])
        .on("proxy_on_configure", [Step::Return(1)]);
    let gateway = probe.gateway().workers(2).start().unwrap();
    assert_eq!(
        per_thread(&gateway, "proxy_on_configure"),
        [2, 1, 1],
        "the canary lives on the main thread"
    );
    assert_eq!(
        per_thread(&gateway, "_initialize"),
        [3, 1, 1],
        "and so does the base VM"
    );
}

#[test]
fn initialize_may_log_but_call_nothing_else() {
    let logging = Probe::new().on("_initialize", [log_info("hello")]);
    assert_eq!(logging.gateway().start().unwrap().logs().len(), 4);
    let asking = Probe::new().on("_initialize", [get_shared("key")]);
    let failure = asking.gateway().start().err().unwrap().to_string();
    assert!(
        failure.contains("restricted_callback: proxy_get_shared_data"),
        "{failure}"
    );
}

#[test]
fn an_import_that_the_host_does_not_have_traps_by_name_when_it_is_called() {
    let probe = Probe::new().on(
        "proxy_on_configure",
        [Step::Call("proxy_made_up", vec![]), Step::Return(1)],
    );
    let failure = probe.gateway().start().err().unwrap().to_string();
    assert!(failure.contains("proxy_made_up"), "{failure}");
}

#[test]
fn a_configuration_that_the_module_refuses_does_not_start() {
    let probe = Probe::new().on("proxy_on_configure", [Step::Return(0)]);
    let failure = probe.gateway().start().err().unwrap();
    assert!(
        matches!(failure, StartFailure::Refused("proxy_on_configure")),
        "{failure}"
    );
}

#[test]
fn every_vm_ticks_with_its_period_in_steady_time() {
    let gateway = ticking(100).gateway().workers(2).start().unwrap();
    gateway.advance_ms(99);
    assert_eq!(per_thread(&gateway, "proxy_on_tick"), [0, 0, 0]);
    gateway.advance_ms(201);
    assert_eq!(per_thread(&gateway, "proxy_on_tick"), [3, 3, 3]);
    gateway.step_wall_clock_ms(3_600_000);
    gateway.settle();
    assert_eq!(
        per_thread(&gateway, "proxy_on_tick"),
        [3, 3, 3],
        "a step of the wall clock fires nothing"
    );
    let moments: Vec<u64> = gateway.logs().iter().map(|line| line.elapsed_ms).collect();
    assert_eq!(moments, [100, 100, 100, 200, 200, 200, 300, 300, 300]);
}

#[test]
fn with_manual_ticks_time_alone_fires_none() {
    let gateway = ticking(100).gateway().manual_ticks().start().unwrap();
    gateway.advance_ms(1000);
    gateway.worker(0).tick();
    assert_eq!(per_thread(&gateway, "proxy_on_tick"), [0, 1, 0]);
    assert_eq!(gateway.worker(0).tick_periods_ms(), [100]);
}

#[test]
fn a_new_configuration_shares_the_vm_with_the_old_one_until_that_is_drained() {
    let gateway = ticking(100).gateway().start().unwrap();
    gateway.update_configuration("new").unwrap();
    assert_eq!(
        per_thread(&gateway, "proxy_on_configure"),
        [4, 2, 0],
        "a canary tries it first"
    );
    gateway.advance_ms(100);
    assert_eq!(
        gateway.callback_count(Thread::Worker(0), "proxy_on_tick"),
        2,
        "both tick"
    );
    gateway.drain_old_configuration();
    gateway.advance_ms(100);
    assert_eq!(gateway.callback_count(Thread::Worker(0), "proxy_on_tick"), 3);
}

#[test]
fn a_trap_kills_one_vm_and_what_waits_in_it_hangs() {
    let probe = Probe::new()
        .on(
            "proxy_on_request_headers",
            [
                set_shared("k", "v", number(0)),
                call_out("control", 1000),
                Step::Return(1),
            ],
        )
        .on("proxy_on_http_call_response", [Step::Trap])
        .on("proxy_on_done", [Step::Return(1)]);
    let reply = |_: &_| CalloutReply::answer(200).after_ms(10).into();
    let gateway = probe.gateway().workers(2).callouts(reply).start().unwrap();
    let hanging = gateway.worker(0).request(Headers::new());
    gateway.advance_ms(10);
    assert!(gateway.worker(0).is_dead() && hanging.is_paused());
    assert_eq!(
        (gateway.crashes().len(), gateway.crashes()[0].callback),
        (1, "proxy_on_http_call_response")
    );
    assert!(
        matches!(send(&gateway, 0), Outcome::Answered { status: 503, .. }),
        "FAIL_CLOSED"
    );
    assert!(
        matches!(send(&gateway, 1), Outcome::Paused),
        "the other worker lives"
    );
    hanging.disconnect();
    assert_eq!(
        gateway.callback_count(Thread::Worker(0), "proxy_on_done"),
        0,
        "a dead VM hears nothing"
    );
    gateway.worker(0).reload().unwrap();
    assert!(matches!(send(&gateway, 0), Outcome::Paused), "the new VM serves");
    assert_eq!(gateway.shared_data().key_count(), 1, "shared data outlives VMs");
}

#[test]
fn a_trap_in_the_request_headers_is_answered() {
    let probe = Probe::new().on("proxy_on_request_headers", [Step::Trap]);
    let gateway = probe.gateway().start().unwrap();
    assert!(matches!(send(&gateway, 0), Outcome::Answered { status: 503, .. }));
    assert!(gateway.worker(0).is_dead());
    gateway.update_configuration("new").unwrap();
    assert!(
        !gateway.worker(0).is_dead(),
        "a new configuration brings a new VM"
    );
}

#[test]
#[should_panic(expected = "loops")]
fn an_endless_loop_fails_the_test_instead_of_hanging_it() {
    let probe = Probe::new().on("proxy_on_request_headers", [Step::LoopForever]);
    let gateway = probe.gateway().fuel_per_callback(1_000_000).start().unwrap();
    let _ = send(&gateway, 0);
}

#[test]
fn a_root_context_that_is_not_done_stays_but_ticks_no_more() {
    let gateway = ticking(100)
        .on("proxy_on_done", [Step::Return(0)])
        .gateway()
        .start()
        .unwrap();
    gateway.update_configuration("new").unwrap();
    gateway.worker(0).tick();
    gateway.drain_old_configuration();
    assert_eq!(gateway.worker(0).tick_periods_ms(), [100, 100]);
    let before = gateway.callback_count(Thread::Worker(0), "proxy_on_tick");
    gateway.advance_ms(200);
    assert_eq!(
        gateway.callback_count(Thread::Worker(0), "proxy_on_tick"),
        before + 2
    );
}

#[test]
fn another_module_takes_over_while_the_old_vm_finishes_its_streams() {
    let pausing = Probe::new().on(
        "proxy_on_request_headers",
        [call_out("control", 1000), Step::Return(1)],
    );
    let pausing = pausing.on("proxy_on_http_call_response", [as_first_stream(), resume()]);
    let passing = Probe::new().on("proxy_on_request_headers", [Step::Return(0)]);
    let gateway = pausing
        .gateway()
        .callouts(|_| CalloutReply::answer(200).after_ms(10).into())
        .start()
        .unwrap();
    let old = gateway.worker(0).request(Headers::new());
    gateway.replace_module(&passing.module()).unwrap();
    assert!(matches!(send(&gateway, 0), Outcome::Forwarded { .. }));
    assert!(old.is_paused());
    gateway.advance_ms(10);
    assert!(matches!(old.outcome(), Outcome::Forwarded { .. }));
}
