//! Whole-node tests: the real binary over real sockets, each test in a folder of its own.
//!
//! One program for all of them: linking one for each file would take longer than running them.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a test may do what the node must not"
)]

mod blindness;
mod config;
mod connections;
mod keys;
mod kill;
mod lifecycle;
mod observability;
mod receiver;
mod refusals;
mod round_trip;
mod support;
