//! Deployments of control for the tests: one or more replicas, in this process or in processes of their own, with issuers
//! and a store; every answer is checked against control's OpenAPI document.

pub mod deployment;
pub mod flow;
pub mod issuer_stories;
pub mod openapi;
pub mod pages;
pub mod relay;
