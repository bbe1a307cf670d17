//! A real Kubernetes API server without nodes, and what runs against it: Helm, Envoy Gateway with its Kubernetes provider,
//! and the Envoy that it makes.

mod api_server;
mod crds;
mod kube_client;

pub use api_server::ApiServer;
pub use crds::{install as install_crds, wait_until_established};
pub use kube_client::{KubeAnswer, KubeClient, Named};
