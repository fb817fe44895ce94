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

mod api_v1;
mod api_v2;
mod blindness;
mod build;
mod commit_reveal;
mod concurrency;
mod config;
mod connections;
mod envelope;
mod identities;
mod issuer;
mod keys;
mod kill;
mod lifecycle;
mod limits;
mod observability;
mod readme;
mod receiver;
mod refusals;
mod status;
mod support;
mod trouble;
mod wire;
