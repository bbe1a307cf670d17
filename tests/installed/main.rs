//! What a platform engineer installs: the chart rendered and validated, and run by a real Envoy Gateway. Built with Go; left
//! out, with a line each, where it is not.

mod alerts;
mod authorization;
mod authorization_rendering;
mod control_configuration;
mod dashboard;
mod doctor;
mod helm_test;
mod imported;
mod kubernetes_rendering;
mod main_path;
mod page;
mod pod;
mod relay;
mod relay_rendering;
mod rendering;
mod rolling_update;
mod tls;
mod tls_rendering;
mod unmodified;
mod values;
mod walkthrough;
