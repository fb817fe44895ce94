//! What the network's monitor and any load balancer ask (api.md, "Status and liveness").

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::answer::{Answer, json, with_type};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// What does not change while the node runs.
#[derive(Clone, Debug)]
pub struct StatusFacts {
    /// When this process began to serve.
    pub launched: Timestamp,
    /// The commit it was built from, when that is known.
    pub git_hash: Option<&'static str>,
    /// Its version.
    pub version: &'static str,
}

/// The body of `/status`: exactly these fields, outside the envelope.
#[derive(Serialize, ToSchema)]
pub(super) struct StatusBody {
    /// Whether the database answers a query.
    is_db_connected: bool,
    /// Whether the newest backup was verified and is there, and no damage of the database is known.
    is_db_backup_checked: bool,
    /// When the newest backup was finished.
    latest_backup_time: Option<String>,
    /// The node's ed25519 public key, hex.
    ks_node_public_key: String,
    /// When the node began to serve.
    launch_time: String,
    /// The commit it was built from.
    git_hash: Option<&'static str>,
    /// Its version.
    version: &'static str,
}

/// Tell how the node is; always 200
#[utoipa::path(get, path = "/status", tag = "Status", responses((status = 200, body = StatusBody)))]
pub(super) async fn status(api: &Api) -> Answer {
    let alive: Result<i64, StoreError> = api
        .store
        .read(|connection| Ok(connection.query_row("SELECT id FROM node", [], |row| row.get(0))?))
        .await;
    let backups = api.backups.health();
    let body = StatusBody {
        is_db_connected: alive.is_ok(),
        is_db_backup_checked: backups.checked,
        latest_backup_time: backups.latest.map(|latest| latest.to_string()),
        ks_node_public_key: hex::encode(api.sessions.public_key()),
        launch_time: api.status.launched.to_string(),
        git_hash: api.status.git_hash,
        version: api.status.version,
    };
    json(StatusCode::OK, &body)
}

/// `GET /`: the network's liveness check, which wants exactly this.
pub(super) fn liveness() -> Answer {
    with_type(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        bytes::Bytes::from_static(b"Ok"),
    )
}
