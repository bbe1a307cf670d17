//! Control: the product's decisions, records, refresh attempt, limits and throttle, over a store and issuers of plain data.

mod exchanges;
mod flight;
mod grants;
mod issuer;
mod limits;
mod records;
mod state;
mod steps;
mod store;

pub(crate) use records::stored_bytes_of_login;
pub(crate) use state::Control;
pub(crate) use steps::LOST_ZONE;
