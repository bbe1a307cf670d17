//! Behaviour tests.

mod host_faithfulness;
