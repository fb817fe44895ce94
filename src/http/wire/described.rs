//! Types that describe a body in the OpenAPI document and are never made: what is parsed or written is looser than what the
//! document has to say of it.

#![allow(
    dead_code,
    reason = "their fields are read by the derived descriptions alone"
)]

use utoipa::ToSchema;

use crate::http::error::Code;

/// What a call of the first generation may carry: it knows no sessions.
#[derive(ToSchema)]
pub(in crate::http) struct CredentialsV1 {
    /// Who vouches for the caller; `google` when absent.
    #[schema(default = "google")]
    auth_type: Option<AuthTypeName>,
}

// In the order of `Identities::names`, which takes their place where the document is served.
/// The ways to log in that this node knows.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum AuthTypeName {
    Auth0,
    Discord,
    Google,
    Telegram,
    X,
}

/// A secp256k1 wallet's public key and the share to keep or to confirm.
#[derive(ToSchema)]
pub(in crate::http) struct Secp256k1Wallet {
    /// Hex: 33 bytes.
    #[schema(pattern = "^[0-9a-fA-F]{66}$")]
    public_key: String,
    /// Hex: 64 bytes.
    #[schema(pattern = "^[0-9a-fA-F]{128}$")]
    share: String,
}

/// An ed25519 wallet's public key and the share to keep or to confirm.
#[derive(ToSchema)]
pub(in crate::http) struct Ed25519Wallet {
    /// Hex: 32 bytes.
    #[schema(pattern = "^[0-9a-fA-F]{64}$")]
    public_key: String,
    /// Hex: 64 bytes.
    #[schema(pattern = "^[0-9a-fA-F]{128}$")]
    share: String,
}

/// The names of the operations that can be committed.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(in crate::http) enum OperationTypeName {
    SignIn,
    SignUp,
    SignInReshare,
    RegisterReshare,
    AddEd25519,
}

/// A body that answers without a payload.
#[derive(ToSchema)]
pub(in crate::http) struct DoneBody {
    #[schema(example = true)]
    success: bool,
}

/// A success with its payload.
#[derive(ToSchema)]
pub(in crate::http) struct SuccessBody<T> {
    #[schema(example = true)]
    success: bool,
    data: T,
}

/// A refusal.
#[derive(ToSchema)]
pub(in crate::http) struct FailureBody {
    #[schema(example = false)]
    success: bool,
    code: Code,
    /// What is wrong, for people.
    msg: String,
}
