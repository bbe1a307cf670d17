//! Virtual time: posts, callout answers and ticks, each at its moment and only while its VM is free.

use std::rc::Rc;

use super::gateway::Gateway;
use super::process::{InFlight, Post};
use super::stream::{Phase, UpstreamReply};
use super::vm::{Vm, size, word};

/// More steps than any story needs without time moving on: two parts wake each other endlessly.
const MOST_STEPS: usize = 100_000;

/// What happens next, and when.
enum Event {
    Arrival(usize),
    Tick(Rc<Vm>, u32),
}

impl Gateway {
    /// Does everything that is due now. Runs by itself after each request, answer and step of the clock; call it
    /// only after an interlude occupied a VM.
    ///
    /// # Panics
    /// When it would never come to rest.
    pub fn settle(&self) {
        for _ in 0..MOST_STEPS {
            if self.run_post() {
                continue;
            }
            match self.next_event() {
                Some((due_ms, event)) if due_ms <= self.process().elapsed_ms() => self.run_event(event),
                _ => return,
            }
        }
        panic!("{MOST_STEPS} events without time moving on: callouts or queues wake each other for ever");
    }

    /// Moves time on by `span_ms`. Callout answers and ticks that fall due on the way happen in order, each at
    /// its own moment.
    pub fn advance_ms(&self, span_ms: u64) {
        self.settle();
        let target_ms = self.process().elapsed_ms() + span_ms;
        while let Some((due_ms, _)) = self.next_event().filter(|(due_ms, _)| *due_ms <= target_ms) {
            self.process().clock.borrow_mut().advance_to(due_ms);
            self.settle();
        }
        self.process().clock.borrow_mut().advance_to(target_ms);
        self.settle();
    }

    fn run_post(&self) -> bool {
        let mut posts = std::mem::take(&mut *self.process().posts.borrow_mut());
        let ready = posts
            .iter()
            .position(|post| !self.vm_of_post(*post).is_some_and(|vm| vm.is_busy()));
        let post = ready.and_then(|index| posts.remove(index));
        self.process().posts.replace(posts);
        let Some(post) = post else { return false };
        let Some(vm) = self.vm_of_post(post) else {
            return true;
        };
        match post {
            Post::QueueReady(owner, queue) => {
                // Envoy looks the context up in whichever VM lives there now; a new one may not have it.
                if vm.ledger.borrow().roots.contains_key(&owner.context) {
                    vm.enter(
                        "proxy_on_queue_ready",
                        owner.context,
                        &[word(owner.context), word(queue)],
                    );
                }
            }
            Post::Upstream { context, .. } => self.ask_upstream(&vm, context),
        }
        true
    }

    fn vm_of_post(&self, post: Post) -> Option<Rc<Vm>> {
        match post {
            Post::QueueReady(owner, _) => self.vm_on(owner.thread, owner.generation),
            Post::Upstream { vm, .. } => self.vm_by_serial(vm),
        }
    }

    fn ask_upstream(&self, vm: &Rc<Vm>, context: u32) {
        let Some(stream) = vm.ledger.borrow().stream(context) else {
            return;
        };
        let (phase, forwarded) = (stream.borrow().phase, stream.borrow().forwarded.clone());
        let (Phase::Forwarded, Some(forwarded)) = (phase, forwarded) else {
            return;
        };
        if let UpstreamReply::Respond {
            status,
            headers,
            body,
        } = self.process().upstream_reply_to(&forwarded)
            && stream.borrow().phase == Phase::Forwarded
        {
            vm.respond(&stream, status, &headers, body);
        }
    }

    /// The earliest event of a VM that is free; of two at one moment, answers come before ticks.
    fn next_event(&self) -> Option<(u64, Event)> {
        let in_flight = self.process().in_flight.borrow();
        let arrival = in_flight
            .iter()
            .enumerate()
            .filter(|(_, answer)| !self.vm_by_serial(answer.vm).is_some_and(|vm| vm.is_busy()))
            .min_by_key(|(index, answer)| (answer.due_ms, *index))
            .map(|(index, answer)| (answer.due_ms, Event::Arrival(index)));
        let tick = self
            .next_tick()
            .map(|(due_ms, vm, root)| (due_ms, Event::Tick(vm, root)));
        match (arrival, tick) {
            (Some(arrival), Some(tick)) => Some(if tick.0 < arrival.0 { tick } else { arrival }),
            (arrival, tick) => arrival.or(tick),
        }
    }

    fn next_tick(&self) -> Option<(u64, Rc<Vm>, u32)> {
        if !self.process().settings.automatic_ticks {
            return None;
        }
        let mut earliest: Option<(u64, Rc<Vm>, u32)> = None;
        for vm in self.vms() {
            if vm.is_dead() || vm.is_busy() {
                continue;
            }
            for (root, entry) in &vm.ledger.borrow().roots {
                let Some(due_ms) = entry.tick_due_ms else { continue };
                if earliest.as_ref().is_none_or(|(known, ..)| due_ms < *known) {
                    earliest = Some((due_ms, Rc::clone(&vm), *root));
                }
            }
        }
        earliest
    }

    fn run_event(&self, event: Event) {
        match event {
            Event::Arrival(index) => {
                let answer = self.process().in_flight.borrow_mut().remove(index);
                if let Some(vm) = self.vm_by_serial(answer.vm) {
                    deliver(&vm, answer);
                }
            }
            Event::Tick(vm, root) => tick(&vm, root),
        }
    }
}

/// One tick of a root context; the period starts again after it.
pub(crate) fn tick(vm: &Rc<Vm>, root: u32) {
    if let Some(entry) = vm.ledger.borrow_mut().roots.get_mut(&root) {
        entry.tick_due_ms = None;
    }
    vm.enter("proxy_on_tick", root, &[word(root)]);
    let now_ms = vm.process.elapsed_ms();
    if let Some(entry) = vm.ledger.borrow_mut().roots.get_mut(&root)
        && entry.tick_period_ms > 0
        && entry.tick_due_ms.is_none()
        && !entry.shutting_down
    {
        entry.tick_due_ms = Some(now_ms + u64::from(entry.tick_period_ms));
    }
}

/// A callout's answer enters the VM under the root context; the module itself finds whose it is.
fn deliver(vm: &Rc<Vm>, answer: InFlight) {
    let InFlight {
        root, token, arrival, ..
    } = answer;
    if !vm.ledger.borrow().roots.contains_key(&root) {
        return;
    }
    let headers = i32::try_from(arrival.headers.len()).expect("few headers");
    let body = size(&arrival.body);
    {
        let mut ledger = vm.ledger.borrow_mut();
        if let Some(status) = arrival.status {
            ledger.callout_status = status;
        }
        ledger.arrival = Some(arrival);
    }
    vm.enter(
        "proxy_on_http_call_response",
        root,
        &[word(root), word(token), headers, body, 0],
    );
    vm.ledger.borrow_mut().arrival = None;
}
