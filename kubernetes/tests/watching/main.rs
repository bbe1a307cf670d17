//! Rules of the watches, and the watches themselves against a scripted API server, in a time of their own.

mod collecting;
mod electing;
mod following;
mod reading;
mod reporting;
mod scripted;
