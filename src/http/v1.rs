//! Key shares, first generation: one curve a call (api.md, "Key shares, v1").

use super::answer::{CallResult, Done};
use super::body;
use super::caller::{Call, named_user};
use super::error::{ApiError, Code};
use super::wire::{
    CheckV1, DoneBody, ExistsData, FailureBody, GetV1, RegisterV1, ShareData, SuccessBody, curve,
    public_key, wallet,
};
use super::{Api, wire};
use crate::shares::ShareError;

/// Store a share under a new public key
#[utoipa::path(
    post, path = "/keyshare/v1/register", tag = "Key shares, v1", request_body = RegisterV1,
    responses(
        (status = 200, body = DoneBody),
        (status = 409, description = "The public key is registered already", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn register(api: &Api, call: &Call) -> CallResult<Done> {
    let caller = call.caller(api, None).await?;
    let wallet = typed(&call.parse()?)?;
    api.shares
        .register(&caller.user, vec![wallet], caller.reveal)
        .await?;
    Ok(None)
}

/// Give the caller's share back
#[utoipa::path(
    post, path = "/keyshare/v1", tag = "Key shares, v1", request_body = GetV1,
    responses(
        (status = 200, body = SuccessBody<ShareData>),
        (status = 404, description = "No such user, wallet or key share", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn get(api: &Api, call: &Call) -> CallResult<ShareData> {
    let caller = call.caller(api, None).await?;
    let request: GetV1 = call.parse()?;
    let key = public_key(curve(request.curve_type.as_deref())?, &request.public_key)?;
    let shares = api.shares.get(&caller.user, &[key], caller.reveal).await?;
    Ok(shares.into_iter().next().map(ShareData::from))
}

/// Tell whether a share exists; needs no token
#[utoipa::path(
    post, path = "/keyshare/v1/check", tag = "Key shares, v1", request_body = CheckV1,
    responses(
        (status = 200, body = SuccessBody<ExistsData>),
    ),
)]
pub(super) async fn check(api: &Api, call: &Call) -> CallResult<ExistsData> {
    let request: CheckV1 = body::parse(&call.body)?;
    let key = public_key(curve(request.curve_type.as_deref())?, &request.public_key)?;
    let user = named_user(api, request.auth_type.as_deref(), &request.user_auth_id)?;
    let exists = api
        .shares
        .check(&user, &[key])
        .await
        .map_err(refuse_check)?;
    Ok(exists
        .into_iter()
        .next()
        .map(|exists| ExistsData { exists }))
}

/// Confirm that the stored share is the one given
#[utoipa::path(
    post, path = "/keyshare/v1/reshare", tag = "Key shares, v1", request_body = RegisterV1,
    responses(
        (status = 200, body = DoneBody),
        (status = 404, description = "No such user, wallet or key share", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn reshare(api: &Api, call: &Call) -> CallResult<Done> {
    let caller = call.caller(api, None).await?;
    let wallet = typed(&call.parse()?)?;
    api.shares
        .reshare(&caller.user, vec![wallet], caller.reveal)
        .await?;
    Ok(None)
}

/// A check answers another user's key as an invalid one (api.md).
pub(super) fn refuse_check(error: ShareError) -> ApiError {
    match error {
        ShareError::NotOwner(_) => ApiError::new(Code::PublicKeyInvalid, error.to_string()),
        other => other.into(),
    }
}

pub(super) fn typed(request: &RegisterV1) -> Result<crate::shares::WalletShare, ApiError> {
    let curve = wire::curve(request.curve_type.as_deref())?;
    wallet(curve, &request.public_key, &request.share)
}
