//! Key shares, second generation: both curves a call (api.md, "Key shares, v2").

use super::Api;
use super::answer::{CallResult, Done};
use super::body;
use super::caller::{Call, named_user};
use super::v1::refuse_check;
use super::wire::{
    ByCurve, CheckV2, DoneBody, Ed25519Wallet, ExistsData, FailureBody, GetV2, RegisterV2,
    ReshareV2, ShareData, SuccessBody, WalletBody,
};
use crate::shares::{ApiName, CurveType, PublicKey};

/// Give the caller's shares back
#[utoipa::path(
    post, path = "/keyshare/v2", tag = "Key shares, v2", request_body = GetV2,
    responses(
        (status = 200, body = SuccessBody<ByCurve<ShareData>>),
        (status = 404, description = "No such user, wallet, key share or session", body = FailureBody),
        (status = 409, description = "The call was made before in its session", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn get(api: &Api, call: &Call) -> CallResult<ByCurve<ShareData>> {
    let caller = call.caller(api, Some(ApiName::GetKeyShares)).await?;
    let request: GetV2 = call.parse()?;
    let keys = request.wallets.typed()?;
    let shares = api.shares.get(&caller.user, &keys, caller.reveal).await?;
    Ok(Some(by_curve(
        &keys,
        shares.into_iter().map(ShareData::from),
    )))
}

/// Tell whether shares exist; needs no token
#[utoipa::path(
    post, path = "/keyshare/v2/check", tag = "Key shares, v2", request_body = CheckV2,
    responses(
        (status = 200, body = SuccessBody<ByCurve<ExistsData>>),
    ),
)]
pub(super) async fn check(api: &Api, call: &Call) -> CallResult<ByCurve<ExistsData>> {
    let request: CheckV2 = body::parse(&call.body)?;
    let keys = request.wallets.typed()?;
    let user = named_user(api, request.auth_type.as_deref(), &request.user_auth_id)?;
    let exists = api.shares.check(&user, &keys).await.map_err(refuse_check)?;
    let answers = exists.into_iter().map(|exists| ExistsData { exists });
    Ok(Some(by_curve(&keys, answers)))
}

/// Store the shares of both curves under new public keys, both or neither
#[utoipa::path(
    post, path = "/keyshare/v2/register", tag = "Key shares, v2", request_body = RegisterV2,
    responses(
        (status = 200, body = DoneBody),
        (status = 404, description = "No such session", body = FailureBody),
        (status = 409, description = "The public key is registered already, or the call was made before in its session", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn register(api: &Api, call: &Call) -> CallResult<Done> {
    let caller = call.caller(api, Some(ApiName::Register)).await?;
    let request: RegisterV2 = call.parse()?;
    let wallets = vec![
        request.wallets.secp256k1.typed(CurveType::Secp256k1)?,
        request.wallets.ed25519.typed(CurveType::Ed25519)?,
    ];
    api.shares
        .register(&caller.user, wallets, caller.reveal)
        .await?;
    Ok(None)
}

/// Store an ed25519 share for a user who has a secp256k1 wallet
#[utoipa::path(
    post, path = "/keyshare/v2/register/ed25519", tag = "Key shares, v2", request_body = Ed25519Wallet,
    responses(
        (status = 200, body = DoneBody),
        (status = 404, description = "No such user, wallet, key share or session", body = FailureBody),
        (status = 409, description = "The public key is registered already, or the call was made before in its session", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn register_ed25519(api: &Api, call: &Call) -> CallResult<Done> {
    let caller = call.caller(api, Some(ApiName::RegisterEd25519)).await?;
    let request: WalletBody = call.parse()?;
    let wallet = request.typed(CurveType::Ed25519)?;
    api.shares
        .register_ed25519(&caller.user, wallet, caller.reveal)
        .await?;
    Ok(None)
}

/// Confirm that the stored shares are those given, all or none
#[utoipa::path(
    post, path = "/keyshare/v2/reshare", tag = "Key shares, v2", request_body = ReshareV2,
    responses(
        (status = 200, body = DoneBody),
        (status = 404, description = "No such user, wallet, key share or session", body = FailureBody),
        (status = 409, description = "The call was made before in its session", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn reshare(api: &Api, call: &Call) -> CallResult<Done> {
    let caller = call.caller(api, Some(ApiName::Reshare)).await?;
    let request: ReshareV2 = call.parse()?;
    api.shares
        .reshare(&caller.user, request.wallets.typed()?, caller.reveal)
        .await?;
    Ok(None)
}

/// Store shares on a node that joins during a reshare
#[utoipa::path(
    post, path = "/keyshare/v2/reshare/register", tag = "Key shares, v2", request_body = ReshareV2,
    responses(
        (status = 200, body = DoneBody),
        (status = 404, description = "No such session", body = FailureBody),
        (status = 409, description = "The public key is registered already, or the call was made before in its session", body = FailureBody),
    ),
    security(("bearer" = []))
)]
pub(super) async fn reshare_register(api: &Api, call: &Call) -> CallResult<Done> {
    let caller = call.caller(api, Some(ApiName::ReshareRegister)).await?;
    let request: ReshareV2 = call.parse()?;
    api.shares
        .register(&caller.user, request.wallets.typed()?, caller.reveal)
        .await?;
    Ok(None)
}

fn by_curve<T>(keys: &[PublicKey], answers: impl Iterator<Item = T>) -> ByCurve<T> {
    ByCurve::collect(keys.iter().map(PublicKey::curve).zip(answers))
}
