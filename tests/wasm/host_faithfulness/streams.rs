//! One request: pausing, resuming, answering, leaving.

use tokenward_wasm_host::{Gateway, Headers, Outcome, Status, Thread};

use tokenward_wasm_host::probe::{
    Probe, Step, as_first_stream, call_out, get_header, log_info, log_returned, number, reply_locally,
    resume, text,
};

const WORKER: Thread = Thread::Worker(0);

fn request() -> Headers {
    Headers::request("POST", "mcp.example.com", "/kubernetes/mcp")
}

fn entered(gateway: &Gateway, callbacks: &[&'static str]) -> Vec<usize> {
    callbacks
        .iter()
        .map(|callback| gateway.callback_count(WORKER, callback))
        .collect()
}

#[test]
fn a_request_goes_on_with_the_headers_as_the_module_left_them() {
    let replace = Step::Call(
        "proxy_replace_header_map_value",
        vec![number(0), text("authorization"), text("Bearer new")],
    );
    let probe = Probe::new().on("proxy_on_request_headers", [replace, Step::Return(0)]);
    let gateway = probe.gateway().start().unwrap();
    let stream = gateway
        .worker(0)
        .request(request().with("authorization", "old").with("x-bytes", [0xff]));
    let Outcome::Forwarded { headers } = stream.outcome() else {
        panic!("not forwarded: {:?}", stream.outcome());
    };
    assert_eq!(headers.text("authorization").as_deref(), Some("Bearer new"));
    assert_eq!(
        headers.get("x-bytes"),
        Some(&[0xff][..]),
        "header values are bytes"
    );
    assert_eq!(gateway.forwarded().len(), 1);
}

#[test]
fn request_headers_are_closed_from_the_resume_on() {
    let probe = Probe::new()
        .on(
            "proxy_on_request_headers",
            [call_out("control", 1000), Step::Return(1)],
        )
        .on(
            "proxy_on_http_call_response",
            [
                as_first_stream(),
                get_header(0, ":path"),
                resume(),
                get_header(0, ":path"),
            ],
        );
    let gateway = probe.gateway().callouts(|_| answer(30)).start().unwrap();
    let stream = gateway.worker(0).request(request());
    assert!(stream.is_paused());
    gateway.advance_ms(29);
    assert!(stream.is_paused());
    gateway.advance_ms(1);
    assert!(matches!(stream.outcome(), Outcome::Forwarded { .. }));
    assert_eq!(stream.resumes(), 1);
    let seen = gateway.host_calls().statuses("proxy_get_header_map_value");
    assert_eq!(seen, [Status::Ok, Status::BadArgument]);
}

#[test]
fn a_local_reply_runs_the_modules_own_response_callbacks_then_done_log_delete() {
    let probe = Probe::new()
        .on(
            "proxy_on_request_headers",
            [
                reply_locally(401, "no"),
                reply_locally(500, "late"),
                log_info("still deciding"),
                Step::Return(0),
            ],
        )
        .on(
            "proxy_on_response_headers",
            [get_header(2, ":status"), log_returned(), Step::Return(0)],
        )
        .on("proxy_on_done", [Step::Return(1)])
        .on("proxy_on_log", [get_header(0, ":path"), log_returned()])
        .on("proxy_on_delete", [get_header(0, ":path")]);
    let gateway = probe.gateway().start().unwrap();
    let stream = gateway.worker(0).request(request());
    let Outcome::Answered {
        status,
        headers,
        body,
    } = stream.outcome()
    else {
        panic!("not answered: {:?}", stream.outcome());
    };
    assert_eq!(
        (status, body.as_slice()),
        (401, &b"no"[..]),
        "of two answers the first wins"
    );
    assert_eq!(headers.text("content-type").as_deref(), Some("text/plain"));
    assert_eq!(stream.local_replies(), 2);
    let logged: Vec<String> = gateway.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(
        logged,
        ["still deciding", "401", "/kubernetes/mcp"],
        "the answer waits until the VM returns; the log callback may read the request again"
    );
    let seen = gateway.host_calls().statuses("proxy_get_header_map_value");
    assert_eq!(
        seen,
        [Status::Ok, Status::Ok, Status::BadArgument],
        "the delete callback may not"
    );
    let callbacks = [
        "proxy_on_response_headers",
        "proxy_on_done",
        "proxy_on_log",
        "proxy_on_delete",
    ];
    assert_eq!(entered(&gateway, &callbacks), [1, 1, 1, 1]);
    assert_eq!(
        (gateway.forwarded().len(), gateway.worker(0).live_streams()),
        (0, 0)
    );
}

#[test]
fn an_answer_from_the_upstream_runs_the_same_callbacks() {
    let probe = Probe::new()
        .on("proxy_on_request_headers", [Step::Return(0)])
        .on(
            "proxy_on_response_headers",
            [get_header(2, "x-from"), log_returned(), Step::Return(0)],
        )
        .on("proxy_on_response_body", [Step::Return(0)])
        .on("proxy_on_done", [Step::Return(1)])
        .on("proxy_on_delete", []);
    let gateway = probe.gateway().start().unwrap();
    let stream = gateway.worker(0).request(request());
    stream.respond(200, &Headers::new().with("x-from", "server"), "body");
    let response = stream.client_response().unwrap();
    assert_eq!((response.status, response.body.as_slice()), (200, &b"body"[..]));
    assert_eq!(gateway.logs()[0].message, "server");
    let callbacks = [
        "proxy_on_response_headers",
        "proxy_on_response_body",
        "proxy_on_done",
        "proxy_on_delete",
    ];
    assert_eq!(entered(&gateway, &callbacks), [1, 1, 1, 1]);
    assert!(stream.is_deleted());
}

#[test]
fn when_the_client_goes_its_callout_still_comes_back_to_a_context_that_is_gone() {
    let probe = Probe::new()
        .on(
            "proxy_on_request_headers",
            [call_out("control", 1000), Step::Return(1)],
        )
        .on("proxy_on_http_call_response", [as_first_stream(), resume()])
        .on("proxy_on_done", [Step::Return(1)])
        .on("proxy_on_delete", []);
    let gateway = probe.gateway().callouts(|_| answer(30)).start().unwrap();
    let stream = gateway.worker(0).request(request());
    stream.disconnect();
    let callbacks = ["proxy_on_done", "proxy_on_delete", "proxy_on_http_call_response"];
    assert_eq!(
        entered(&gateway, &callbacks),
        [1, 1, 0],
        "done and delete come at once"
    );
    assert!(matches!(stream.outcome(), Outcome::Gone));
    gateway.advance_ms(30);
    assert_eq!(entered(&gateway, &callbacks), [1, 1, 1]);
    let switched = gateway.host_calls().statuses("proxy_set_effective_context");
    assert_eq!(switched, [Status::BadArgument]);
    assert_eq!((gateway.forwarded().len(), stream.resumes()), (0, 0));
}

#[test]
fn a_body_is_held_while_the_headers_wait() {
    let probe = Probe::new()
        .on(
            "proxy_on_request_headers",
            [call_out("control", 1000), Step::Return(1)],
        )
        .on("proxy_on_http_call_response", [as_first_stream(), resume()])
        .on("proxy_on_request_body", [Step::Return(0)]);
    let gateway = probe.gateway().callouts(|_| answer(10)).start().unwrap();
    let _stream = gateway.worker(0).request_with_body(request(), "hello");
    assert_eq!(entered(&gateway, &["proxy_on_request_body"]), [0]);
    gateway.advance_ms(10);
    assert_eq!(entered(&gateway, &["proxy_on_request_body"]), [1]);
    assert_eq!(gateway.forwarded()[0].body, b"hello");
}

#[test]
fn a_response_can_be_held_and_let_go_or_replaced_without_further_callbacks() {
    let holding = || {
        Probe::new().on("proxy_on_request_headers", [Step::Return(0)]).on(
            "proxy_on_response_headers",
            [call_out("control", 1000), Step::Return(1)],
        )
    };
    let let_go = Step::Call("proxy_continue_stream", vec![number(1)]);
    for (then, status, body) in [(let_go, 401, "theirs"), (reply_locally(503, "ours"), 503, "ours")] {
        let probe = holding().on("proxy_on_http_call_response", [as_first_stream(), then]);
        let gateway = probe.gateway().callouts(|_| answer(10)).start().unwrap();
        let stream = gateway.worker(0).request(request());
        stream.respond(401, &Headers::new(), "theirs");
        assert_eq!(stream.client_response(), None);
        gateway.advance_ms(10);
        let response = stream.client_response().unwrap();
        assert_eq!(
            (response.status, response.body.as_slice()),
            (status, body.as_bytes())
        );
        assert_eq!(entered(&gateway, &["proxy_on_response_headers"]), [1]);
        assert!(stream.is_deleted());
    }
}

fn answer(after_ms: u64) -> tokenward_wasm_host::CalloutReply {
    tokenward_wasm_host::CalloutReply::answer(200)
        .after_ms(after_ms)
        .into()
}
