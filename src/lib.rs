//! ksnode: a key share node in one file.
//!
//! The rooms of the house, from the top floor down. A room may use rooms that stand below it, never
//! one above.
//!
//! | room | what it is for |
//! |---|---|
//! | [`cli`] | one file per command; talks to a running node or opens the data folder itself |
//! | [`node`] | builds a running node from a [`config::Config`]; owns its tasks and its shutdown |
//! | [`control`] | the local socket through which commands reach the desk |
//! | [`http`] | the API: routing, request and response types, error-to-status map, limits, OpenAPI |
//! | [`admin`] | the administrator: his password, and the page where he sees and does what the desk offers |
//! | [`desk`] | what an operator can ask of the running node and have done: by command, page or API |
//! | [`oko`] | taking over a node of the Docker suite, and giving one back |
//! | [`shares`] | the rules of the key share node: register, get, check, reshare, commit-reveal |
//! | [`backup`] | online copy, verification, retention, restore, schedule |
//! | [`replica`] | a second copy in Postgres: ships the change log, compares, rebuilds |
//! | [`identity`] | who is calling: one file per provider behind one trait |
//! | [`tls`] | where certificates come from, handshakes, and the listener |
//! | [`service`] | what the operating system sees: logs, signals, process limits, the service manager, whose process it is, outbound connections |
//! | [`audit`] | who had what done when |
//! | [`store`] | the database: schema and migrations, the writer, the readers |
//! | [`crypto`] | encryption secret, key ring, sealing; nothing else touches key material |
//! | [`config`] | `ksnode.toml`, environment, defaults, validation |
//! | [`clock`] | the one source of time, replaceable in tests |
//!
//! `fuzzing`, in tests and fuzzers' builds alone, is no room: it has a door to each parser of bytes from outside.

pub mod admin;
pub mod audit;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod crypto;
pub mod desk;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http;
pub mod identity;
pub mod node;
pub mod oko;
pub mod replica;
pub mod service;
pub mod shares;
pub mod store;
pub mod tls;

/// The program's version. A build with the feature `rehearsal` says so in it: it is for tests and no release.
pub const VERSION: &str = if cfg!(feature = "rehearsal") {
    concat!(env!("CARGO_PKG_VERSION"), "+rehearsal")
} else {
    env!("CARGO_PKG_VERSION")
};
