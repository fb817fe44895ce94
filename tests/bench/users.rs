//! Users by number: keys, shares and logins that can be made again from the number alone.

use ksnode::clock::Timestamp;
use ksnode::config::SecretText;
use ksnode::identity::{AuthType, UserId, telegram};
use ksnode::shares::{CurveType, PublicKey, Share, WalletShare};

/// The bot token of every node that is measured.
pub const BOT_TOKEN: &str = "4711:a-bot-token-for-the-benchmark";

/// A small, fast generator (`SplitMix64`): the generator of load must not cost what the node costs, and nothing here
/// needs to be unpredictable.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0. (The bias of the remainder is below one in a billion here.)
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        bytes
    }
}

/// What a user registers.
pub struct Wallets {
    pub secp256k1: ([u8; 33], [u8; 64]),
    pub ed25519: ([u8; 32], [u8; 64]),
}

/// The wallets of user `number`.
pub fn wallets(number: u64) -> Wallets {
    let mut numbers = Numbers::new(number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let mut compressed: [u8; 33] = numbers.bytes();
    compressed[0] = 2;
    Wallets {
        secp256k1: (compressed, numbers.bytes()),
        ed25519: (numbers.bytes(), numbers.bytes()),
    }
}

impl Wallets {
    /// The same as the library takes them.
    pub fn typed(&self) -> anyhow::Result<Vec<WalletShare>> {
        let (secp256k1, ed25519) = (&self.secp256k1, &self.ed25519);
        Ok(vec![
            WalletShare {
                public_key: PublicKey::from_bytes(CurveType::Secp256k1, &secp256k1.0)?,
                share: Share::from_bytes(&secp256k1.1)?,
            },
            WalletShare {
                public_key: PublicKey::from_bytes(CurveType::Ed25519, &ed25519.0)?,
                share: Share::from_bytes(&ed25519.1)?,
            },
        ])
    }
}

/// The stored identifier of user `number`.
pub fn identifier(number: u64) -> String {
    format!("telegram_{number}")
}

/// User `number` as the library takes it.
pub fn user_id(number: u64) -> anyhow::Result<UserId> {
    Ok(UserId::new(
        AuthType::from_stored("telegram"),
        identifier(number),
    )?)
}

/// The bearer token of user `number`.
pub fn token(number: u64, now: Timestamp) -> String {
    telegram::sign(&SecretText::new(BOT_TOKEN.into()), number, now)
}
