//! The order in which Envoy calls a stream's callbacks, and what deferred actions do.

use std::cell::RefCell;
use std::rc::Rc;

use super::headers::Headers;
use super::ledger::{Deferred, Direction};
use super::process::Post;
use super::properties::Properties;
use super::stream::{ClientResponse, ForwardedRequest, LocalReply, Phase, StreamState};
use super::vm::{Entered, Vm, size, word};

const PAUSE: i32 = 1;

type SharedStream = Rc<RefCell<StreamState>>;

impl Vm {
    /// A request arrives.
    pub(crate) fn open_stream(
        self: &Rc<Self>,
        request: Headers,
        body: Option<Vec<u8>>,
        properties: Properties,
    ) -> SharedStream {
        let stream = Rc::new(RefCell::new(StreamState::new(request, body, properties)));
        if self.is_dead() {
            fail_closed(&stream);
            return stream;
        }
        let (context, root) = {
            let mut ledger = self.ledger.borrow_mut();
            let context = ledger.new_context();
            ledger.streams.insert(context, Rc::clone(&stream));
            (context, ledger.current_root)
        };
        let (count, end_of_stream) = {
            let mut state = stream.borrow_mut();
            (state.context, state.root) = (context, root);
            (count(&state.request), i32::from(state.request_body.is_none()))
        };
        self.enter("proxy_on_context_create", context, &[word(context), word(root)]);
        let decided = self.enter(
            "proxy_on_request_headers",
            context,
            &[word(context), count, end_of_stream],
        );
        let still_deciding = stream.borrow().phase == Phase::Deciding;
        match decided {
            Entered::Dead => fail_closed(&stream),
            Entered::Returned(PAUSE) if still_deciding => stream.borrow_mut().phase = Phase::Paused,
            _ if still_deciding => self.forward(&stream),
            _ => {}
        }
        stream
    }

    /// The request headers leave the filter; the body follows.
    fn forward(self: &Rc<Self>, stream: &SharedStream) {
        let (context, body_bytes) = {
            let mut state = stream.borrow_mut();
            state.request_open = false;
            let unseen = state.request_body.is_some() && !state.request_body_seen;
            state.request_body_seen = true;
            (
                state.context,
                unseen.then(|| size(state.request_body.as_deref().unwrap_or_default())),
            )
        };
        if let Some(bytes) = body_bytes {
            stream.borrow_mut().body_window = Some(Direction::Request);
            let passed = self.enter("proxy_on_request_body", context, &[word(context), bytes, 1]);
            stream.borrow_mut().body_window = None;
            if matches!(passed, Entered::Returned(PAUSE) | Entered::Dead) {
                stream.borrow_mut().phase = Phase::Paused;
                return;
            }
        }
        let mut state = stream.borrow_mut();
        if !matches!(state.phase, Phase::Deciding | Phase::Paused) {
            return;
        }
        state.phase = Phase::Forwarded;
        let forwarded = ForwardedRequest {
            headers: state.request.clone(),
            body: state.request_body.clone().unwrap_or_default(),
            thread: self.thread,
            at_ms: self.process.clock.borrow().now_ms(),
        };
        state.forwarded = Some(forwarded.clone());
        self.process.forwarded.borrow_mut().push(forwarded);
        self.process.posts.borrow_mut().push_back(Post::Upstream {
            vm: self.serial,
            context,
        });
    }

    /// The upstream's answer arrives.
    pub(crate) fn respond(
        self: &Rc<Self>,
        stream: &SharedStream,
        status: u16,
        headers: &Headers,
        body: Vec<u8>,
    ) {
        let mut response = Headers::new().with(":status", status.to_string());
        for (name, value) in headers.iter() {
            response.add(name, value);
        }
        self.run_response(stream, response, body);
    }

    fn run_response(self: &Rc<Self>, stream: &SharedStream, response: Headers, body: Vec<u8>) {
        let (context, count, end_of_stream) = {
            let mut state = stream.borrow_mut();
            state.phase = Phase::Responding;
            state.response = response;
            state.response_body = body;
            state.response_open = true;
            (
                state.context,
                count(&state.response),
                i32::from(state.response_body.is_empty()),
            )
        };
        let passed = self.enter(
            "proxy_on_response_headers",
            context,
            &[word(context), count, end_of_stream],
        );
        let still_responding = stream.borrow().phase == Phase::Responding;
        match passed {
            // The filter of a dead VM never passes the response on.
            Entered::Dead => {}
            Entered::Returned(PAUSE) if still_responding => stream.borrow_mut().phase = Phase::ResponsePaused,
            _ if still_responding => self.finish_response(stream),
            _ => {}
        }
    }

    fn finish_response(self: &Rc<Self>, stream: &SharedStream) {
        let (context, body_bytes) = {
            let mut state = stream.borrow_mut();
            state.response_open = false;
            (state.context, size(&state.response_body))
        };
        if body_bytes > 0 {
            stream.borrow_mut().body_window = Some(Direction::Response);
            let passed = self.enter("proxy_on_response_body", context, &[word(context), body_bytes, 1]);
            stream.borrow_mut().body_window = None;
            if passed == Entered::Dead || stream.borrow().phase == Phase::Ended {
                return;
            }
        }
        self.deliver(stream);
    }

    /// The client gets what stands in the response, and the stream ends.
    fn deliver(self: &Rc<Self>, stream: &SharedStream) {
        {
            let mut state = stream.borrow_mut();
            state.client_response = Some(ClientResponse {
                status: status_of(&state.response),
                headers: state.response.clone(),
                body: state.response_body.clone(),
            });
        }
        self.close_stream(stream);
    }

    /// The stream ends: done, log, delete. Callouts stay in flight. Doing it again changes nothing.
    pub(crate) fn close_stream(self: &Rc<Self>, stream: &SharedStream) {
        let context = {
            let mut state = stream.borrow_mut();
            state.phase = Phase::Ended;
            state.request_open = false;
            state.response_open = false;
            if std::mem::replace(&mut state.done, true) {
                return;
            }
            state.context
        };
        // A stream's `false` from on_done delays nothing in Envoy; only a root context's does.
        self.enter("proxy_on_done", context, &[word(context)]);
        stream.borrow_mut().logging = true;
        self.enter("proxy_on_log", context, &[word(context)]);
        stream.borrow_mut().logging = false;
        self.enter("proxy_on_delete", context, &[word(context)]);
        self.ledger.borrow_mut().streams.remove(&context);
    }

    pub(crate) fn run_deferred(self: &Rc<Self>, action: Deferred) {
        match action {
            Deferred::DeleteRoot(root) => self.delete_root(root),
            Deferred::Continue(context, direction) => self.on_live_stream(context, |vm, stream| {
                let phase = stream.borrow().phase;
                match (direction, phase) {
                    (Direction::Request, Phase::Paused) => vm.forward(stream),
                    (Direction::Response, Phase::ResponsePaused) => {
                        stream.borrow_mut().phase = Phase::Responding;
                        vm.finish_response(stream);
                    }
                    _ => {}
                }
            }),
            Deferred::LocalReply(context, reply) => {
                self.on_live_stream(context, |vm, stream| vm.reply_locally(stream, reply));
            }
            Deferred::Close(context) => self.on_live_stream(context, Self::close_stream),
        }
    }

    fn on_live_stream(self: &Rc<Self>, context: u32, act: impl FnOnce(&Rc<Self>, &SharedStream)) {
        let stream = self.ledger.borrow().stream(context);
        if let Some(stream) = stream
            && stream.borrow().phase != Phase::Ended
        {
            act(self, &stream);
        }
    }

    fn reply_locally(self: &Rc<Self>, stream: &SharedStream, reply: LocalReply) {
        let response = local_headers(&reply);
        let phase = stream.borrow().phase;
        if matches!(phase, Phase::Responding | Phase::ResponsePaused) {
            // Envoy replaces a response under way directly, without the filter's callbacks.
            let mut state = stream.borrow_mut();
            (state.response, state.response_body) = (response, reply.body);
            drop(state);
            self.deliver(stream);
        } else {
            stream.borrow_mut().request_open = false;
            self.run_response(stream, response, reply.body);
        }
    }
}

/// What Envoy itself answers for a dead VM under FAIL_CLOSED.
fn fail_closed(stream: &SharedStream) {
    let mut state = stream.borrow_mut();
    state.phase = Phase::Ended;
    state.done = true;
    state.request_open = false;
    state.client_response = Some(ClientResponse {
        status: 503,
        headers: Headers::new().with(":status", "503").with("content-length", "0"),
        body: Vec::new(),
    });
}

/// `content-length` is Envoy's own, and a `content-type` takes the place of text/plain.
fn local_headers(reply: &LocalReply) -> Headers {
    let mut headers = Headers::new().with(":status", reply.status.to_string());
    if !reply.body.is_empty() {
        headers.add("content-length", reply.body.len().to_string());
        if reply.headers.get("content-type").is_none() {
            headers.add("content-type", "text/plain");
        }
    }
    for (name, value) in reply.headers.iter() {
        if name != b"content-length" && name != b":status" {
            headers.add(name, value);
        }
    }
    headers
}

fn status_of(headers: &Headers) -> u16 {
    headers
        .text(":status")
        .and_then(|status| status.parse().ok())
        .unwrap_or_default()
}

fn count(headers: &Headers) -> i32 {
    i32::try_from(headers.len()).expect("few headers")
}
