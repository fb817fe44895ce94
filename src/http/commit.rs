//! The beginning of a commit-reveal session (api.md, "Commit-reveal").

use uuid::{Uuid, Version};

use super::Api;
use super::answer::CallResult;
use super::body;
use super::caller::Call;
use super::error::ApiError;
use super::wire::{CommitBody, CommitData, FailureBody, SuccessBody, bytes};
use crate::config::CommitRevealMode;
use crate::shares::{Commitment, OperationType};

/// Begin a session; needs no token
#[utoipa::path(
    post, path = "/keyshare/v2/commit", tag = "Commit-reveal", request_body = CommitBody,
    responses(
        (status = 200, body = SuccessBody<CommitData>),
        (status = 409, description = "A session with this id, key or hash exists", body = FailureBody),
    ),
)]
pub(super) async fn commit(api: &Api, call: &Call) -> CallResult<CommitData> {
    let request: CommitBody = body::parse(&call.body)?;
    if api.commit_reveal == CommitRevealMode::Off {
        return Err(ApiError::invalid_request(
            "commit-reveal is turned off on this node",
        ));
    }
    let (public_key, signature) = api.sessions.commit(typed(&request)?).await?;
    Ok(Some(CommitData {
        node_pubkey: hex::encode(public_key),
        node_signature: hex::encode(signature),
    }))
}

pub(super) fn typed(request: &CommitBody) -> Result<Commitment, ApiError> {
    let session_id = Uuid::parse_str(&request.session_id)
        .ok()
        .filter(|id| id.get_version() == Some(Version::Random))
        .ok_or_else(|| ApiError::invalid_request("session_id must be a UUID v4"))?;
    let operation = OperationType::from_name(&request.operation_type).ok_or_else(|| {
        let names: Vec<_> = OperationType::ALL
            .iter()
            .map(|operation| operation.as_str())
            .collect();
        ApiError::invalid_request(format!(
            "operation_type must be one of {}",
            names.join(", ")
        ))
    })?;
    Ok(Commitment {
        session_id,
        operation,
        ephemeral_key: bytes("client_ephemeral_pubkey", &request.client_ephemeral_pubkey)?,
        token_hash: bytes("id_token_hash", &request.id_token_hash)?,
    })
}
