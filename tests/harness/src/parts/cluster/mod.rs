//! A real Kubernetes API server without nodes, and what runs against it: Helm, Envoy Gateway with its Kubernetes provider,
//! and the Envoy that it makes.

mod api_server;
mod audit;
mod crds;
mod gateway;
mod helm;
mod inventory;
mod kube_client;
mod rooted;

pub use api_server::ApiServer;
pub use audit::AuditedRequest;
pub use crds::{install as install_crds, wait_until_established};
pub use gateway::{ClusterEnvoy, ClusterGateway, SYSTEM};
pub use helm::Helm;
pub use inventory::names_in;
pub use kube_client::{KubeAnswer, KubeClient, Named};
