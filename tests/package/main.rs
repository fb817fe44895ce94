//! The packages in a fresh Debian with a real systemd: installed, used, upgraded, taken back and removed.
//!
//! Each test has a machine of its own: a container whose root is a layer over one Debian root that is made once
//! ([`root`]), with its own network, process ids and control group, so that they run side by side. It boots in a
//! second. Docker was left out: it boots no systemd without being told to, and has a daemon of its own; a virtual
//! machine takes ten times as long, and is not to be had on many machines that build.
//!
//! They need root, and what `tests/all --prepare` installs.
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

mod client;
mod credential;
mod daemon;
mod figures;
mod group;
mod harness;
mod install;
mod instances;
mod load;
mod machine;
mod node;
mod outcome;
mod packages;
mod removal;
mod root;
mod rpm;
mod sandbox;
mod supervision;
mod upgrade;
#[path = "../node/support/users.rs"]
mod users;
#[path = "../node/support/wait.rs"]
mod wait;

/// What logins are signed with.
pub const BOT_TOKEN: &str = "4711:a-bot-token-for-tests";
