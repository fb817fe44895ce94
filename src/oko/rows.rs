//! The rows of the suite's tables, read from their text and checked.
//!
//! Both generations of the suite's schema (its migrations tell): the first has `users` with an `email`, later beside an
//! `auth_type`; the second has `2_users` with `auth_type` and `user_auth_id`. The other tables differ in nothing but
//! their names.

use std::fmt;

use serde::Serialize;
use uuid::Uuid;

use super::copy_text::Micros;
use crate::identity::{AuthType, DEFAULT_AUTH_TYPE, UserId};
use crate::shares::{CurveType, PublicKey};

/// A table that is taken over, in the order in which that happens: each refers to the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The server's key pairs.
    Keypair,
    /// Users.
    User,
    /// Wallets.
    Wallet,
    /// Key shares.
    Share,
}

impl Kind {
    /// In their order.
    pub const ALL: [Self; 4] = [Self::Keypair, Self::User, Self::Wallet, Self::Share];

    /// The name in this node's database, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keypair => "keypair",
            Self::User => "user",
            Self::Wallet => "wallet",
            Self::Share => "share",
        }
    }

    /// The table's name.
    pub fn table(self, generation: Generation) -> &'static str {
        match (generation, self) {
            (Generation::First, Self::Keypair) => "server_keypairs",
            (Generation::First, Self::User) => "users",
            (Generation::First, Self::Wallet) => "wallets",
            (Generation::First, Self::Share) => "key_shares",
            (Generation::Second, Self::Keypair) => "2_server_keypairs",
            (Generation::Second, Self::User) => "2_users",
            (Generation::Second, Self::Wallet) => "2_wallets",
            (Generation::Second, Self::Share) => "2_key_shares",
        }
    }

    /// The columns of the second generation, the row's id first. Those of the first are among them, but for `email`.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Keypair => KEYPAIR,
            Self::User => USER,
            Self::Wallet => WALLET,
            Self::Share => SHARE,
        }
    }
}

#[rustfmt::skip]
const KEYPAIR: &[&str] = &[
    "keypair_id", "version", "public_key", "enc_private_key", "is_active", "created_at", "updated_at", "rotated_at",
];
#[rustfmt::skip]
const USER: &[&str] = &["user_id", "auth_type", "user_auth_id", "status", "created_at", "updated_at", "aux"];
#[rustfmt::skip]
const WALLET: &[&str] = &["wallet_id", "user_id", "curve_type", "public_key", "created_at", "updated_at", "aux"];
#[rustfmt::skip]
const SHARE: &[&str] = &[
    "share_id", "wallet_id", "enc_share", "status", "reshared_at", "created_at", "updated_at", "aux",
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which of the suite's schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// Tables without a number; users by their email.
    First,
    /// Tables named `2_…`; users by `auth_type` and `user_auth_id`.
    Second,
}

/// A row as it came: the names of its columns and the values.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// Of the columns.
    pub(super) names: &'a [String],
    /// `None` is NULL.
    pub(super) values: Vec<Option<Vec<u8>>>,
}

/// Why a row cannot be read; the text is for people.
pub(super) type Unreadable = String;

impl Record<'_> {
    fn find(&self, name: &str) -> Option<&[u8]> {
        let place = self.names.iter().position(|known| known == name)?;
        self.values.get(place)?.as_deref()
    }

    fn text(&self, name: &str) -> Result<&str, Unreadable> {
        self.optional(name)?
            .ok_or_else(|| format!("it has no {name}"))
    }

    fn optional(&self, name: &str) -> Result<Option<&str>, Unreadable> {
        let bytes = self.find(name).map(std::str::from_utf8).transpose();
        bytes.map_err(|_| format!("its {name} is no UTF-8"))
    }

    fn id(&self, name: &str) -> Result<Uuid, Unreadable> {
        Uuid::try_parse(self.text(name)?).map_err(|_| format!("its {name} is no UUID"))
    }

    fn moment(&self, name: &str) -> Result<Micros, Unreadable> {
        Micros::parse(self.text(name)?).ok_or_else(|| format!("its {name} is no moment"))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, Unreadable> {
        let hex = self.text(name)?.strip_prefix("\\x");
        hex.and_then(|hex| hex::decode(hex).ok())
            .ok_or_else(|| format!("its {name} is no bytea in hex"))
    }

    /// What names the row when it cannot be read: its id as it stands.
    pub(super) fn name(&self) -> String {
        let first = self.values.first().and_then(Option::as_deref);
        String::from_utf8_lossy(first.unwrap_or(b"?")).into_owned()
    }
}

/// A row of one of the tables.
pub(super) trait Row: Sized + Send + 'static {
    /// Which table.
    const KIND: Kind;

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    fn read(record: &Record<'_>) -> Result<Self, Unreadable>;

    /// Its id in the suite.
    fn id(&self) -> Uuid;
}

/// A user.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// Its id.
    pub(super) user_id: Uuid,
    /// Who it is.
    pub(super) identity: UserId,
    /// `active`.
    pub(super) status: String,
    /// When it was made.
    pub(super) created_at: Micros,
    /// When it was changed.
    pub(super) updated_at: Micros,
    /// The suite's notes, JSON as Postgres prints it.
    pub(super) aux: Option<String>,
}

impl Row for User {
    const KIND: Kind = Kind::User;

    fn read(record: &Record<'_>) -> Result<Self, Unreadable> {
        let auth_type = record.optional("auth_type")?.unwrap_or(DEFAULT_AUTH_TYPE);
        let identifier = match record.optional("user_auth_id")? {
            Some(identifier) => identifier,
            None => record
                .text("email")
                .map_err(|_| "it has no user_auth_id".to_owned())?,
        };
        let identity = UserId::new(AuthType::from_stored(auth_type), identifier);
        Ok(Self {
            user_id: record.id("user_id")?,
            identity: identity.map_err(|error| error.to_string())?,
            status: record.text("status")?.to_owned(),
            created_at: record.moment("created_at")?,
            updated_at: record.moment("updated_at")?,
            aux: record.optional("aux")?.map(str::to_owned),
        })
    }

    fn id(&self) -> Uuid {
        self.user_id
    }
}

/// A wallet.
#[derive(Clone, Debug)]
pub(super) struct Wallet {
    /// Its id.
    pub(super) wallet_id: Uuid,
    /// Its owner.
    pub(super) user_id: Uuid,
    /// Its public key.
    pub(super) public_key: PublicKey,
    /// When it was made.
    pub(super) created_at: Micros,
    /// When it was changed.
    pub(super) updated_at: Micros,
    /// The suite's notes.
    pub(super) aux: Option<String>,
}

impl Row for Wallet {
    const KIND: Kind = Kind::Wallet;

    fn read(record: &Record<'_>) -> Result<Self, Unreadable> {
        let curve = record.text("curve_type")?;
        let curve =
            CurveType::from_name(curve).ok_or_else(|| format!("no curve is called '{curve}'"))?;
        let public_key = PublicKey::from_bytes(curve, &record.bytes("public_key")?);
        Ok(Self {
            wallet_id: record.id("wallet_id")?,
            user_id: record.id("user_id")?,
            public_key: public_key.map_err(|error| error.to_string())?,
            created_at: record.moment("created_at")?,
            updated_at: record.moment("updated_at")?,
            aux: record.optional("aux")?.map(str::to_owned),
        })
    }

    fn id(&self) -> Uuid {
        self.wallet_id
    }
}

/// A key share, still encrypted.
#[derive(Clone, Debug)]
pub(super) struct EncryptedShare {
    /// Its id.
    pub(super) share_id: Uuid,
    /// Its wallet.
    pub(super) wallet_id: Uuid,
    /// As the suite encrypts.
    pub(super) encrypted: Vec<u8>,
    /// `active`.
    pub(super) status: String,
    /// When it was confirmed.
    pub(super) reshared_at: Micros,
    /// When it was made.
    pub(super) created_at: Micros,
    /// When it was changed.
    pub(super) updated_at: Micros,
    /// The suite's notes.
    pub(super) aux: Option<String>,
}

impl Row for EncryptedShare {
    const KIND: Kind = Kind::Share;

    fn read(record: &Record<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            share_id: record.id("share_id")?,
            wallet_id: record.id("wallet_id")?,
            encrypted: record.bytes("enc_share")?,
            status: record.text("status")?.to_owned(),
            reshared_at: record.moment("reshared_at")?,
            created_at: record.moment("created_at")?,
            updated_at: record.moment("updated_at")?,
            aux: record.optional("aux")?.map(str::to_owned),
        })
    }

    fn id(&self) -> Uuid {
        self.share_id
    }
}

/// A version of the server's key, its secret half still encrypted.
#[derive(Clone, Debug)]
pub(super) struct Keypair {
    /// Its id.
    pub(super) keypair_id: Uuid,
    /// 1 for the first.
    pub(super) version: u32,
    /// 32 bytes.
    pub(super) public_key: Vec<u8>,
    /// As the suite encrypts.
    pub(super) encrypted: Vec<u8>,
    /// Whether it is the node's name.
    pub(super) active: bool,
    /// When it was made.
    pub(super) created_at: Micros,
    /// When it was changed.
    pub(super) updated_at: Micros,
    /// When a newer one took its place.
    pub(super) rotated_at: Option<Micros>,
}

impl Row for Keypair {
    const KIND: Kind = Kind::Keypair;

    fn read(record: &Record<'_>) -> Result<Self, Unreadable> {
        let version = record.text("version")?.parse().ok();
        let version: u32 = version
            .filter(|&version| version > 0)
            .ok_or("its version is no number above 0")?;
        let rotated_at = record.optional("rotated_at")?;
        Ok(Self {
            keypair_id: record.id("keypair_id")?,
            version,
            public_key: record.bytes("public_key")?,
            encrypted: record.text("enc_private_key")?.as_bytes().to_vec(),
            active: record.text("is_active")? == "t",
            created_at: record.moment("created_at")?,
            updated_at: record.moment("updated_at")?,
            rotated_at: rotated_at
                .map(|_| record.moment("rotated_at"))
                .transpose()?,
        })
    }

    fn id(&self) -> Uuid {
        self.keypair_id
    }
}
