//! The operators' console in a real browser, on two replicas behind one address.

mod hostile;
mod live;
mod many;
mod stage;
mod story;
