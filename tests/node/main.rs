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

mod abuse;
mod admin;
mod api_v1;
mod api_v2;
mod audit;
mod backup_calls;
mod backup_commands;
mod backup_encryption;
mod backup_hook;
mod backup_kill;
mod backup_migration;
mod backup_schedule;
mod bad_disk;
mod blindness;
mod build;
mod campaign;
mod clients;
mod clock;
mod commit_reveal;
mod concurrency;
mod config;
mod connections;
mod control;
mod damage;
mod disk;
mod doctor;
mod envelope;
mod full_disk;
mod guide;
mod identities;
mod init;
mod io_errors;
mod issuer;
mod keys;
mod kill;
mod lifecycle;
mod limits;
mod linearizability;
mod memory;
mod observability;
mod oko;
mod operator;
mod owner;
mod postgres;
mod power;
mod readme;
mod receiver;
mod refusals;
mod releases;
mod replica;
mod restore_candidates;
mod restore_dry_run;
mod restore_live;
mod schemathesis;
mod service;
mod soak;
mod status;
mod support;
mod tls;
mod trouble;
#[cfg(not(feature = "rehearsal"))]
mod upgrade;
mod wall_clock;
mod wire;
