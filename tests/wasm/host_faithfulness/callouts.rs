//! Callouts: what comes back, when, and to whom.

use tokenward_wasm_host::{CalloutReply, Dispatch, Gateway, Headers, Status, Thread};

use tokenward_wasm_host::probe::{
    Argument, OUT, OUT_LENGTH, Probe, Step, WORD, call_out, get_header, log_returned, number,
};

/// Calls out on every request; logs the status and the body of what comes back.
fn asking(cluster: &'static str, timeout_ms: i32) -> Probe {
    // The callback's fourth parameter is the size of the body.
    let body = vec![
        number(4),
        number(0),
        Argument::Parameter(3),
        number(OUT),
        number(OUT_LENGTH),
    ];
    Probe::new()
        .on(
            "proxy_on_request_headers",
            [call_out(cluster, timeout_ms), Step::Return(1)],
        )
        .on(
            "proxy_on_http_call_response",
            [
                get_header(6, ":status"),
                log_returned(),
                Step::Call("proxy_get_buffer_bytes", body),
                log_returned(),
            ],
        )
}

fn ask(gateway: &Gateway, worker: usize) {
    let headers = Headers::request("POST", "mcp.example.com", "/");
    assert!(gateway.worker(worker).request(headers).is_paused());
}

fn logged(gateway: &Gateway) -> Vec<String> {
    gateway.logs().into_iter().map(|line| line.message).collect()
}

fn came_back(gateway: &Gateway) -> usize {
    gateway.callback_count(Thread::Worker(0), "proxy_on_http_call_response")
}

#[test]
fn an_answer_arrives_with_its_body_after_its_latency() {
    let gateway = asking("control", 1000)
        .gateway()
        .callouts(|call| {
            CalloutReply::answer(200)
                .body(call.body.clone())
                .after_ms(30)
                .into()
        })
        .start()
        .unwrap();
    ask(&gateway, 0);
    gateway.advance_ms(29);
    assert_eq!(came_back(&gateway), 0);
    gateway.advance_ms(1);
    assert_eq!(logged(&gateway), ["200", "question"]);
}

#[test]
fn a_silent_upstream_becomes_envoys_504_at_exactly_the_timeout() {
    let gateway = asking("control", 1000).gateway().start().unwrap();
    ask(&gateway, 0);
    gateway.advance_ms(999);
    assert_eq!(came_back(&gateway), 0);
    gateway.advance_ms(1);
    assert_eq!(logged(&gateway), ["504", "upstream request timeout"]);
}

#[test]
fn an_answer_later_than_the_timeout_is_a_504_and_comes_once() {
    let late = |_: &_| CalloutReply::answer(200).after_ms(5000).into();
    let gateway = asking("control", 1000).gateway().callouts(late).start().unwrap();
    ask(&gateway, 0);
    gateway.advance_ms(10_000);
    assert_eq!((came_back(&gateway), logged(&gateway)[0].as_str()), (1, "504"));
}

#[test]
fn without_a_timeout_a_silent_upstream_is_silent_for_ever() {
    let gateway = asking("control", 0).gateway().start().unwrap();
    ask(&gateway, 0);
    gateway.advance_ms(86_400_000);
    assert_eq!(came_back(&gateway), 0);
}

#[test]
fn a_refused_connection_is_a_503_that_no_upstream_wrote() {
    let refuse = |_: &_| CalloutReply::ConnectionRefused;
    let gateway = asking("control", 1000)
        .gateway()
        .callouts(refuse)
        .start()
        .unwrap();
    ask(&gateway, 0);
    let logged = logged(&gateway);
    assert_eq!(logged[0], "503");
    assert!(logged[1].starts_with("upstream connect error"), "{}", logged[1]);
}

#[test]
fn a_reset_after_the_headers_comes_back_without_any() {
    let status = vec![number(WORD), number(OUT), number(OUT_LENGTH)];
    let probe = Probe::new()
        .on(
            "proxy_on_request_headers",
            [call_out("control", 1000), Step::Return(1)],
        )
        .on(
            "proxy_on_http_call_response",
            [
                get_header(6, ":status"),
                Step::Call("proxy_get_status", status),
                log_returned(),
            ],
        );
    let reset = |_: &_| CalloutReply::ResetMidBody { after_ms: 5 };
    let gateway = probe.gateway().callouts(reset).start().unwrap();
    ask(&gateway, 0);
    gateway.advance_ms(5);
    assert_eq!(
        gateway.host_calls().statuses("proxy_get_header_map_value"),
        [Status::NotFound]
    );
    assert_eq!(logged(&gateway), ["reset"]);
}

#[test]
fn an_unknown_cluster_and_one_without_hosts_fail_at_once_and_never_come_back() {
    let gateway = asking("elsewhere", 1000).gateway().start().unwrap();
    ask(&gateway, 0);
    let empty = asking("control", 1000)
        .gateway()
        .callouts(|_| CalloutReply::NoHost)
        .start()
        .unwrap();
    ask(&empty, 0);
    for (gateway, status, dispatch) in [
        (&gateway, Status::BadArgument, Dispatch::UnknownCluster),
        (&empty, Status::InternalFailure, Dispatch::NoHost),
    ] {
        gateway.advance_ms(60_000);
        assert_eq!(gateway.host_calls().statuses("proxy_http_call"), [status]);
        assert_eq!(gateway.callouts()[0].dispatch, dispatch);
        assert_eq!(came_back(gateway), 0);
    }
}

#[test]
fn tokens_are_counted_in_each_vm_by_itself() {
    let gateway = asking("control", 1000).gateway().workers(2).start().unwrap();
    for worker in [0, 0, 1, 1] {
        ask(&gateway, worker);
    }
    let tokens: Vec<u32> = gateway.callouts().iter().map(|call| call.token).collect();
    assert_eq!(tokens, [4, 8, 4, 8]);
}
