//! The API: routing, request and response types, the error-to-status map, limits, OpenAPI.
//!
//! A request passes two stations. [`Front`] does what concerns every request whatever its route: address, rate
//! limit, CORS, body limit, headers of the answer, log line and metrics. Behind it warp routes to the calls (`v1`,
//! `v2`, `commit`, `backups`, `status`, `docs`), which know bodies and tokens and nothing of connections. Hex and JSON end
//! here: the rooms below are given typed values. What is asked for below `/admin` goes from the front to the admin page.
//!
//! Layers of tower-http could do part of the front's work; its CORS answers preflights with 200 where clients expect
//! 204, and its limits know no windows as api.md describes them, so what would be left is small.

mod answer;
mod backups;
mod body;
mod caller;
mod client_address;
mod commit;
mod connection;
mod cors;
mod docs;
mod error;
mod front;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod http2;
mod malformed;
mod metrics;
mod object;
mod ops;
mod rate_limit;
mod redirect;
mod request;
mod routes;
mod status;
mod v1;
mod v2;
mod watched;
mod way;
mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
pub use connection::{ALPN, Protocol, serve_api, serve_ops, serve_redirect};
pub use docs::openapi_json;
pub use front::{FinalAnswer, Front, FrontOptions};
pub use metrics::HttpMetrics;
pub use ops::{Ops, Readiness};
pub use rate_limit::RateLimit;
pub use redirect::Redirect;
pub use status::StatusFacts;

use crate::admin::Administrator;
use crate::audit::AuditLog;
use crate::backup::{Backups, Restorer};
use crate::clock::SharedClock;
use crate::config::CommitRevealMode;
use crate::crypto::KeyRing;
use crate::identity::Identities;
use crate::shares::{KeyShares, Sessions};
use crate::store::Store;

/// What the calls work with.
#[derive(Debug)]
pub struct Api {
    /// The database, asked by `/status` whether it answers.
    pub store: Arc<Store>,
    /// The keys that seal what is in it, those of the shares as they were when it was opened: [`KeyShares`] has the newest.
    pub ring: Arc<KeyRing>,
    /// The rules of the node.
    pub shares: KeyShares,
    /// Commit-reveal sessions.
    pub sessions: Sessions,
    /// Who may vouch for a caller.
    pub identities: Arc<Identities>,
    /// Whether calls must or may be part of a session.
    pub commit_reveal: CommitRevealMode,
    /// Backups, and how the last one stands.
    pub backups: Backups,
    /// Who had what done.
    pub audit: AuditLog,
    /// Restores of the running node.
    pub restorer: Restorer,
    /// Who may have backups made and restored.
    pub administrator: Arc<Administrator>,
    /// What days of a history are counted back from.
    pub clock: SharedClock,
    /// What `/status` tells besides.
    pub status: StatusFacts,
}

/// What the calls work with now: a restore replaces it as a whole. Whoever answers a request asks once, so that one
/// request never works with two databases, and a key of one never meets rows of the other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Current(Arc<ArcSwap<Api>>);

impl Current {
    /// Begins with `api`.
    pub fn new(api: Api) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(api)))
    }

    /// What there is now.
    pub fn get(&self) -> Arc<Api> {
        self.0.load_full()
    }

    /// Replaces it for the requests that come from now on.
    pub fn replace(&self, api: Api) {
        self.0.store(Arc::new(api));
    }
}
