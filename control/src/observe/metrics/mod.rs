//! Prometheus metrics, by subject. Label values come from the configuration and from enums only, so their number is bounded.

mod activity;
mod authorization;
mod configuration;
mod filter_state;
mod intake;
mod issuers;
mod kubernetes;
mod process;
mod records;
mod relay;
mod store;
mod tls;
mod tokens;

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use self::activity::ActivityMetrics;
pub use self::authorization::AuthorizationMetrics;
pub use self::filter_state::FilterStateMetrics;
pub use self::kubernetes::KubernetesMetrics;
pub use self::records::RecordCounts;
pub use self::relay::RelayMetrics;

use self::configuration::ConfigurationMetrics;
use self::intake::IntakeMetrics;
use self::issuers::IssuerMetrics;
use self::process::ProcessMetrics;
use self::records::RecordMetrics;
use self::store::StoreMetrics;
pub use self::tls::TlsMetrics;
use self::tokens::TokenMetrics;

/// What every metric of the service begins with; those of the process itself have Prometheus' own names.
const PREFIX: &str = "tokenward";

/// Labels of `tokenward_build_info`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    /// The version of control.
    version: &'static str,
    /// The operating system that it was built for.
    os: &'static str,
    /// The processor that it was built for.
    arch: &'static str,
}

/// All metrics of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    tokens: TokenMetrics,
    issuers: IssuerMetrics,
    store: StoreMetrics,
    records: RecordMetrics,
    intake: IntakeMetrics,
    configuration: ConfigurationMetrics,
    /// `tokenward_connections`: open connections.
    pub connections: Gauge,
    /// Those of the relay.
    pub relay: RelayMetrics,
    /// Those of our own authorization server.
    pub authorization: AuthorizationMetrics,
    /// Those of the activity and the audit log.
    pub activity: ActivityMetrics,
    /// Those of what filters learn.
    pub filter_state: FilterStateMetrics,
    /// Those of the resources of Kubernetes.
    pub kubernetes: KubernetesMetrics,
    /// Those of the listeners' certificates.
    pub tls: TlsMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessMetrics));
        let ours = registry.sub_registry_with_prefix(PREFIX);
        ours.register("build", "The version of control", build());
        let (tokens, issuers) = (TokenMetrics::registered(ours), IssuerMetrics::registered(ours));
        let (store, records) = (StoreMetrics::registered(ours), RecordMetrics::registered(ours));
        let connections = Gauge::default();
        ours.register("connections", "Open connections", connections.clone());
        let intake = IntakeMetrics::registered(ours);
        let configuration = ConfigurationMetrics::registered(ours);
        let relay = RelayMetrics::registered(ours);
        let authorization = AuthorizationMetrics::registered(ours);
        let activity = ActivityMetrics::registered(ours);
        let filter_state = FilterStateMetrics::registered(ours);
        let tls = TlsMetrics::registered(ours);
        let kubernetes = KubernetesMetrics::registered(ours);
        Self {
            registry: Arc::new(registry),
            tokens,
            issuers,
            store,
            records,
            intake,
            configuration,
            connections,
            relay,
            authorization,
            activity,
            filter_state,
            kubernetes,
            tls,
        }
    }
}

impl Metrics {
    /// The metrics in the OpenMetrics text format.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn build() -> Info<BuildLabels> {
    Info::new(BuildLabels {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    })
}

/// Creates a counter at 0. Prometheus detects an increase only of a sample that was there before, and an alert must fire
/// for the first event.
fn begin<L>(family: &Family<L, Counter>, labels: &L)
where
    L: Clone + std::hash::Hash + Eq,
{
    let _: &Counter = &family.get_or_create(labels);
}
