//! What somebody who means harm, or a part that is broken in an unlucky moment, can make of the service.

mod discovery;
mod ends;
mod issuers;
mod keys;
mod lines;
mod moved_endpoints;
