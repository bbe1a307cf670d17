//! The operators' console: how one gets in, what it shows, and what it changes.

mod activity;
mod configuration;
mod forms;
mod hostile;
mod hosts;
mod lists;
mod login;
mod logins_apart;
mod outage;
mod pages;
mod search;
mod stage;
mod tab;
mod told_to_filters;
