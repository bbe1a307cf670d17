//! Envoys whose filter has a `state`, and a control that answers their polls.

use std::rc::Rc;

use tokenward_filter_core::config::FilterConfig;
use tokenward_filter_core::filter::Filter;
use tokenward_filter_core::verdict::Verdict;
use tokenward_filter_core::worker::{ControlResponse, TICK_MS};
use tokenward_protocol::filter_state::{FilterState, ServerList, SignOut};

use crate::host::{CONFIG, Envoy, FakeHost, HostOf, home};

/// A path of the server `kubernetes`.
pub(super) const KUBE: &str = "/kubernetes/mcp";
/// The servers of [`CONFIG`] as control publishes them.
pub(super) const BOTH: &str = r#"{"servers": [
    {"name": "kubernetes", "path_prefix": "/kubernetes",
     "auth": {"kind": "forward", "issuer": "https://dex.example.com", "required_audiences": ["kube"]}},
    {"name": "remote", "path_prefix": "/remote",
     "auth": {"kind": "exchange", "issuer": "https://remote.example.com", "required_audiences": ["rkube"],
              "subject_issuer": "https://dex.example.com"}}
]}"#;

/// Control, as the polls see it.
pub(super) struct Control {
    pub(super) version: u64,
    pub(super) servers_version: u64,
    pub(super) servers: String,
    /// The log: each entry with its position.
    pub(super) log: Vec<(u64, SignOut)>,
    /// Entries of one answer.
    pub(super) most: usize,
    pub(super) is_down: bool,
    answered: usize,
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            version: 1,
            servers_version: 1,
            servers: BOTH.to_owned(),
            log: Vec::new(),
            most: 8_192,
            is_down: false,
            answered: 0,
        }
    }

    pub(super) fn end(&mut self, sign_out: SignOut) {
        self.version += 1;
        self.log.push((self.version, sign_out));
    }

    pub(super) fn publish(&mut self, servers: &str) {
        self.servers_version += 1;
        self.servers = servers.to_owned();
    }

    pub(super) fn body(&self, path: &str) -> Vec<u8> {
        let number = |name: &str| -> u64 {
            let (_, rest) = path.split_once(&format!("{name}=")).unwrap();
            rest.split('&').next().unwrap().parse().unwrap()
        };
        let mut left = self.log.iter().filter(|(at, _)| *at > number("after"));
        let entries: Vec<_> = left.by_ref().take(self.most).copied().collect();
        let has_more = left.next().is_some();
        let last = entries.last().map_or(self.version, |(at, _)| *at);
        FilterState {
            version: if has_more { last } else { self.version },
            has_more,
            servers: (number("servers") < self.servers_version).then_some(ServerList {
                version: self.servers_version,
                json: self.servers.as_bytes(),
            }),
            sign_outs: entries.iter().map(|(_, entry)| *entry).collect(),
        }
        .encode()
    }
}

/// Workers of one Envoy without servers of their own.
pub(super) fn envoy(workers: u8) -> Envoy {
    let mut envoy = Envoy::new(0);
    for number in 1..=workers {
        add_worker(&mut envoy, number, "");
    }
    envoy
}

/// Adds a VM with random bytes of its own, of a configuration with these settings.
pub(super) fn add_worker(envoy: &mut Envoy, random: u8, settings: &str) {
    let text = format!(
        r#"{{"control": {{"cluster": "control", "credential": {{"value": "s3cret"}}}},
            "session_headers": ["x-session"], {settings} "state": {{"poll_every": "2s"}}}}"#
    );
    envoy.host.random.set([random; 16]);
    let config = FilterConfig::parse(text.as_bytes(), |_| None);
    assert!(config.is_ok(), "{config:?}");
    let host = HostOf(Rc::clone(&envoy.host));
    envoy.workers.push(Filter::new(host, config, text.as_bytes()));
}

/// The servers of [`CONFIG`], as a setting.
pub(super) fn own_servers() -> String {
    let (_, servers) = CONFIG.split_once("\"servers\"").unwrap();
    format!("\"servers\"{},", servers.trim_end().strip_suffix('}').unwrap())
}

/// One tick of every worker; control answers the polls at once.
pub(super) fn tick(envoy: &mut Envoy, control: &mut Control) {
    envoy.host.advance_ms(TICK_MS);
    for worker in &mut envoy.workers {
        worker.on_tick();
    }
    answer(envoy, control);
}

/// Control answers the polls that it has not answered yet.
pub(super) fn answer(envoy: &mut Envoy, control: &mut Control) {
    let polls = envoy.host.polls.borrow().clone();
    for (call, path) in polls.iter().skip(control.answered) {
        let response = ControlResponse {
            status: if control.is_down { 503 } else { 200 },
            marked: true,
            retry_after: None,
            body: if control.is_down {
                Vec::new()
            } else {
                control.body(path)
            },
        };
        for worker in &mut envoy.workers {
            worker.on_control_response(*call, &response);
        }
    }
    control.answered = polls.len();
}

/// This many seconds of ticks.
pub(super) fn seconds(envoy: &mut Envoy, control: &mut Control, seconds: u64) {
    for _ in 0..seconds * 1_000 / TICK_MS {
        tick(envoy, control);
    }
}

/// Polls so far.
pub(super) fn polls(host: &FakeHost) -> usize {
    host.polls.borrow().len()
}

/// The refusal of a reply.
pub(super) fn refusal(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Reply(reply) => reply.details.strip_prefix("tokenward_").map(str::to_owned),
        _ => None,
    }
}

/// How each worker answers a fresh home token at `kubernetes`: forwarded, or the refusal.
pub(super) fn everywhere(envoy: &mut Envoy, token: &str) -> Vec<Option<String>> {
    let workers = 0..envoy.workers.len();
    workers
        .map(|worker| refusal(&envoy.send(worker, KUBE, Some(token), None).1))
        .collect()
}

/// A fresh home token.
pub(super) fn fresh() -> String {
    home(1_800)
}
