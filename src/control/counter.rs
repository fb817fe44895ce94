//! What is said over the socket, done at the desk.

use serde::Serialize;
use serde_json::Value;

use super::protocol::{Request, RotatedKey};
use super::server::Answerer;
use crate::audit::Actor;
use crate::backup::{Progress, RestoreRequest};
use crate::desk::{Desk, DeskError};

/// Answers requests at `desk`.
pub fn at_desk(desk: Desk) -> Answerer {
    std::sync::Arc::new(move |actor, request, progress| {
        let desk = desk.clone();
        Box::pin(async move { answer(&desk, &actor, request, &progress).await })
    })
}

async fn answer(
    desk: &Desk,
    actor: &Actor,
    request: Request,
    progress: &Progress,
) -> Result<Value, String> {
    match request {
        Request::Status {} => said(Ok(desk.status().await)),
        Request::BackupCreate {} => said(desk.create_backup(actor, progress).await),
        Request::BackupList { days } => said(desk.backups(days).await),
        Request::BackupVerify {
            path,
            secret_file,
            age_identity,
        } => {
            let (secret, identity) = (secret_file.as_deref(), age_identity.as_deref());
            let verified = desk.verify_backup(actor, &path, secret, identity, progress);
            said(verified.await)
        }
        Request::BackupDelete { id } => said(desk.delete_backup(actor, id).await),
        Request::BackupPrune {} => said(desk.prune_backups(actor).await),
        Request::KeyRotate { key } => said(match key {
            RotatedKey::Share => desk.rotate_share_key(actor).await,
            RotatedKey::Node => desk.rotate_node_key(actor).await,
        }),
        Request::ReplicaResync { discard } => said(desk.resync_replica(actor, discard).await),
        Request::ReplicaVerify {} => said(desk.verify_replica().await),
        Request::Restore {
            path,
            secret_file,
            age_identity,
            dry_run,
        } => {
            let request = RestoreRequest {
                path,
                secret_file,
                age_identity,
                dry_run,
            };
            said(desk.restore(actor, request, progress).await)
        }
    }
}

fn said(answer: Result<impl Serialize, DeskError>) -> Result<Value, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    serde_json::to_value(answer).map_err(|error| error.to_string())
}
