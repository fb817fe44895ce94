//! What is said over the socket, done at the desk.

use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use super::protocol::{Request, RotatedKey};
use super::server::Answerer;
use super::sessions;
use crate::admin::Access;
use crate::audit::Actor;
use crate::backup::{Progress, RestoreRequest};
use crate::desk::{Desk, DeskError};

/// Answers requests at `desk`, and those that concern the administrator himself with `access`.
pub fn at_desk(desk: Desk, access: Access) -> Answerer {
    std::sync::Arc::new(move |actor, request, progress| {
        let (desk, access) = (desk.clone(), access.clone());
        Box::pin(async move { answer(&desk, &access, &actor, request, &progress).await })
    })
}

async fn answer(
    desk: &Desk,
    access: &Access,
    actor: &Actor,
    request: Request,
    progress: &Progress,
) -> Result<Value, String> {
    match request {
        Request::Status {} => said(Ok::<_, DeskError>(desk.status().await)),
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
        Request::ReplicaVerify {} => said(desk.verify_replica(actor).await),
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
        Request::AdminSessions {} => said(Ok::<_, String>(sessions::list(access))),
        Request::AdminRevoke { id } => {
            said(sessions::end(access, desk, actor, id.as_deref()).await)
        }
        Request::AdminPasswordCheck {} => said(sessions::check_password(access)),
        Request::AdminPasswordSet {} => said(sessions::take_password(access, desk, actor).await),
        Request::AdminResetTotp {} => {
            said(sessions::reset_second_factor(access, desk, actor).await)
        }
    }
}

fn said(answer: Result<impl Serialize, impl Display>) -> Result<Value, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    serde_json::to_value(answer).map_err(|error| error.to_string())
}
