//! Bodies of requests and answers, as api.md spells them.

mod described;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::error::{ApiError, Code};
use super::object::Object;
use crate::shares::{CurveType, PublicKey, SHARE_LENGTH, Share, StoredShare, WalletShare};
pub(super) use described::{
    AuthTypeName, CredentialsV1, DoneBody, Ed25519Wallet, FailureBody, OperationTypeName,
    Secp256k1Wallet, SuccessBody,
};

/// What every call with a bearer token may carry besides its own fields.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct Credentials {
    /// Who vouches for the caller; `google` when absent.
    #[schema(value_type = Option<AuthTypeName>, default = "google")]
    pub(super) auth_type: Option<String>,
    /// The commit-reveal session that this call belongs to (v2 only).
    #[schema(value_type = Option<Uuid>)]
    pub(super) cr_session_id: Option<String>,
    /// Ed25519 signature by the session's ephemeral key: 64 bytes, hex (v2 only).
    #[schema(pattern = "^[0-9a-fA-F]{128}$")]
    pub(super) cr_signature: Option<String>,
}

/// A wallet's public key and the share to keep or to confirm.
#[derive(Deserialize)]
pub(super) struct WalletBody {
    pub(super) public_key: String,
    pub(super) share: Zeroizing<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct RegisterV1 {
    /// `secp256k1` (the default) or `ed25519`.
    #[schema(default = "secp256k1")]
    pub(super) curve_type: Option<String>,
    /// Hex: 33 bytes for secp256k1, 32 for ed25519.
    pub(super) public_key: String,
    /// Hex: 64 bytes.
    #[schema(value_type = String, pattern = "^[0-9a-fA-F]{128}$")]
    pub(super) share: Zeroizing<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct GetV1 {
    /// `secp256k1` (the default) or `ed25519`.
    #[schema(default = "secp256k1")]
    pub(super) curve_type: Option<String>,
    /// Hex: 33 bytes for secp256k1, 32 for ed25519.
    pub(super) public_key: String,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CheckV1 {
    /// The stored user identifier, e.g. `google_1234`.
    #[schema(min_length = 1, max_length = 320)]
    pub(super) user_auth_id: String,
    /// `google` when absent.
    #[schema(value_type = Option<AuthTypeName>, default = "google")]
    pub(super) auth_type: Option<String>,
    /// `secp256k1` (the default) or `ed25519`.
    #[schema(default = "secp256k1")]
    pub(super) curve_type: Option<String>,
    /// Hex: 33 bytes for secp256k1, 32 for ed25519.
    pub(super) public_key: String,
}

/// Values by curve, at least one.
#[derive(Deserialize, ToSchema)]
pub(super) struct KeysByCurve {
    /// Public key, hex, 33 bytes.
    #[schema(pattern = "^[0-9a-fA-F]{66}$")]
    pub(super) secp256k1: Option<String>,
    /// Public key, hex, 32 bytes.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) ed25519: Option<String>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct GetV2 {
    #[schema(value_type = KeysByCurve)]
    pub(super) wallets: Object<KeysByCurve>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CheckV2 {
    /// The stored user identifier, e.g. `google_1234`.
    #[schema(min_length = 1, max_length = 320)]
    pub(super) user_auth_id: String,
    /// `google` when absent.
    #[schema(value_type = Option<AuthTypeName>, default = "google")]
    pub(super) auth_type: Option<String>,
    #[schema(value_type = KeysByCurve)]
    pub(super) wallets: Object<KeysByCurve>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct BothWallets {
    #[schema(value_type = Secp256k1Wallet)]
    pub(super) secp256k1: Object<WalletBody>,
    #[schema(value_type = Ed25519Wallet)]
    pub(super) ed25519: Object<WalletBody>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct RegisterV2 {
    #[schema(value_type = BothWallets)]
    pub(super) wallets: Object<BothWallets>,
}

/// Wallets by curve, at least one.
#[derive(Deserialize, ToSchema)]
pub(super) struct WalletsByCurve {
    #[schema(value_type = Option<Secp256k1Wallet>)]
    pub(super) secp256k1: Option<Object<WalletBody>>,
    #[schema(value_type = Option<Ed25519Wallet>)]
    pub(super) ed25519: Option<Object<WalletBody>>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct ReshareV2 {
    #[schema(value_type = WalletsByCurve)]
    pub(super) wallets: Object<WalletsByCurve>,
}

#[derive(Deserialize, ToSchema)]
pub(super) struct CommitBody {
    /// UUID v4, chosen by the client.
    #[schema(
        pattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
    )]
    pub(super) session_id: String,
    /// What the client is about to do.
    #[schema(value_type = OperationTypeName)]
    pub(super) operation_type: String,
    /// Ed25519 public key that signs the session's calls: 32 bytes, hex.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) client_ephemeral_pubkey: String,
    /// SHA-256 of the text `auth_type` followed by the token: 32 bytes, hex.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    pub(super) id_token_hash: String,
}

/// A share as its owner gets it.
#[derive(Serialize, ToSchema)]
pub(super) struct ShareData {
    pub(super) share_id: Uuid,
    /// Hex: 64 bytes.
    #[schema(value_type = String)]
    pub(super) share: Zeroizing<String>,
}

impl From<StoredShare> for ShareData {
    fn from(stored: StoredShare) -> Self {
        Self {
            share_id: stored.share_id,
            share: Zeroizing::new(hex_text(stored.share.expose())),
        }
    }
}

/// Whether a share exists.
#[derive(Serialize, ToSchema)]
pub(super) struct ExistsData {
    pub(super) exists: bool,
}

/// Answers by curve: those that were asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct ByCurve<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secp256k1: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ed25519: Option<T>,
}

impl<T> ByCurve<T> {
    /// Sorts answers to their curves.
    pub(super) fn collect(answers: impl Iterator<Item = (CurveType, T)>) -> Self {
        let mut sorted = Self {
            secp256k1: None,
            ed25519: None,
        };
        for (curve, answer) in answers {
            match curve {
                CurveType::Secp256k1 => sorted.secp256k1 = Some(answer),
                CurveType::Ed25519 => sorted.ed25519 = Some(answer),
            }
        }
        sorted
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct CommitData {
    /// The node's ed25519 public key: 32 bytes, hex.
    pub(super) node_pubkey: String,
    /// Its signature over the hex text of that key: 64 bytes, hex.
    pub(super) node_signature: String,
}

/// The curve that a v1 call names; absent, it is secp256k1 (api.md, "Values").
pub(super) fn curve(name: Option<&str>) -> Result<CurveType, ApiError> {
    let Some(name) = name else {
        return Ok(CurveType::Secp256k1);
    };
    CurveType::from_name(name).ok_or_else(|| {
        ApiError::new(
            Code::CurveTypeNotSupported,
            "curve_type must be secp256k1 or ed25519",
        )
    })
}

/// A public key from its hex text.
pub(super) fn public_key(curve: CurveType, text: &str) -> Result<PublicKey, ApiError> {
    let key = match curve {
        CurveType::Secp256k1 => decoded(text).map(PublicKey::Secp256k1),
        CurveType::Ed25519 => decoded(text).map(PublicKey::Ed25519),
    };
    key.ok_or_else(|| {
        let length = curve.public_key_length();
        ApiError::new(
            Code::PublicKeyInvalid,
            format!(
                "a {curve} public key is {} hex characters ({length} bytes)",
                length * 2
            ),
        )
    })
}

/// The bytes of a hex text that has exactly `N` of them.
fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Bytes as hex text, lower case.
pub(super) fn hex_text(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    // The buffer has the right length and hex is ASCII: neither can fail.
    let _ = hex::encode_to_slice(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// A share from its hex text.
pub(super) fn share(text: &str) -> Result<Share, ApiError> {
    let mut bytes = Zeroizing::new([0; SHARE_LENGTH]);
    hex::decode_to_slice(text, bytes.as_mut_slice()).map_err(|_| {
        ApiError::new(
            Code::ShareInvalid,
            "a share is 128 hex characters (64 bytes)",
        )
    })?;
    Ok(Share::from_bytes(bytes.as_slice())?)
}

/// A fixed number of bytes from hex text.
pub(super) fn bytes<const N: usize>(field: &str, text: &str) -> Result<[u8; N], ApiError> {
    decoded(text).ok_or_else(|| {
        ApiError::invalid_request(format!(
            "{field} must be {} hex characters ({N} bytes)",
            N * 2
        ))
    })
}

impl WalletBody {
    pub(super) fn typed(&self, curve: CurveType) -> Result<WalletShare, ApiError> {
        wallet(curve, &self.public_key, &self.share)
    }
}

/// A public key and a share from their hex texts.
pub(super) fn wallet(
    curve: CurveType,
    public_key_text: &str,
    share_text: &str,
) -> Result<WalletShare, ApiError> {
    Ok(WalletShare {
        public_key: public_key(curve, public_key_text)?,
        share: share(share_text)?,
    })
}

impl KeysByCurve {
    /// The keys asked for, secp256k1 first.
    pub(super) fn typed(&self) -> Result<Vec<PublicKey>, ApiError> {
        let given = [
            (CurveType::Secp256k1, &self.secp256k1),
            (CurveType::Ed25519, &self.ed25519),
        ];
        let keys = given
            .into_iter()
            .filter_map(|(curve, text)| Some(public_key(curve, text.as_deref()?)))
            .collect::<Result<Vec<_>, _>>()?;
        at_least_one(keys)
    }
}

impl WalletsByCurve {
    /// The wallets given, secp256k1 first.
    pub(super) fn typed(&self) -> Result<Vec<WalletShare>, ApiError> {
        let given = [
            (CurveType::Secp256k1, &self.secp256k1),
            (CurveType::Ed25519, &self.ed25519),
        ];
        let wallets = given
            .into_iter()
            .filter_map(|(curve, body)| Some(body.as_ref()?.typed(curve)))
            .collect::<Result<Vec<_>, _>>()?;
        at_least_one(wallets)
    }
}

fn at_least_one<T>(values: Vec<T>) -> Result<Vec<T>, ApiError> {
    if values.is_empty() {
        return Err(ApiError::with_status(
            StatusCode::BAD_REQUEST,
            Code::InvalidRequest,
            "wallets must have secp256k1, ed25519 or both",
        ));
    }
    Ok(values)
}
