//! What may be committed, and which calls belong to it (api.md, "Commit-reveal").

/// What a client commits to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationType {
    /// Fetch shares.
    SignIn,
    /// Store the first shares.
    SignUp,
    /// Fetch shares, then confirm a reshare.
    SignInReshare,
    /// Fetch shares if there are any, then store those of a reshare.
    RegisterReshare,
    /// Store an ed25519 share, then fetch.
    AddEd25519,
}

/// A call that may be part of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiName {
    /// `POST /keyshare/v2`
    GetKeyShares,
    /// `POST /keyshare/v2/register`
    Register,
    /// `POST /keyshare/v2/reshare`
    Reshare,
    /// `POST /keyshare/v2/reshare/register`
    ReshareRegister,
    /// `POST /keyshare/v2/register/ed25519`
    RegisterEd25519,
}

impl OperationType {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::SignIn,
        Self::SignUp,
        Self::SignInReshare,
        Self::RegisterReshare,
        Self::AddEd25519,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignUp => "sign_up",
            Self::SignInReshare => "sign_in_reshare",
            Self::RegisterReshare => "register_reshare",
            Self::AddEd25519 => "add_ed25519",
        }
    }

    /// The operation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.as_str() == name)
    }

    /// The calls it allows; the last one completes the session.
    pub(super) fn calls(self) -> &'static [ApiName] {
        match self {
            Self::SignIn => &[ApiName::GetKeyShares],
            Self::SignUp => &[ApiName::Register],
            Self::SignInReshare => &[ApiName::GetKeyShares, ApiName::Reshare],
            Self::RegisterReshare => &[ApiName::GetKeyShares, ApiName::ReshareRegister],
            Self::AddEd25519 => &[ApiName::RegisterEd25519, ApiName::GetKeyShares],
        }
    }
}

impl ApiName {
    /// The name in the signed text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetKeyShares => "get_key_shares",
            Self::Register => "register",
            Self::Reshare => "reshare",
            Self::ReshareRegister => "reshare_register",
            Self::RegisterEd25519 => "register_ed25519",
        }
    }
}
