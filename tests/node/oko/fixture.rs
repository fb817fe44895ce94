//! A node of the Docker suite, made up: its tables as either generation's migrations make them, and what goes wrong in
//! the life of such a node. The same numbers give the same node.

use std::fmt::Write;

use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::encryption::Encryption;
use crate::support;

/// Users of each fixture beyond the ordinary ones start here.
const ODD: u64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    First,
    Second,
}

pub struct User {
    pub id: Uuid,
    pub auth_type: &'static str,
    pub identifier: String,
    pub created: i64,
    pub updated: i64,
    pub aux: Option<String>,
}

pub struct Wallet {
    pub id: Uuid,
    pub user: Uuid,
    pub curve: &'static str,
    /// Hex.
    pub public_key: String,
    pub created: i64,
    pub updated: i64,
    pub aux: Option<String>,
}

pub struct Share {
    pub id: Uuid,
    pub wallet: Uuid,
    /// Hex; what decrypts to it is made with the SQL.
    pub share: String,
    pub spoilt: Option<Spoilt>,
    pub reshared: i64,
    pub created: i64,
    pub updated: i64,
    pub aux: Option<String>,
}

#[derive(Clone, Copy)]
pub enum Spoilt {
    Damaged,
    NoBase64,
    Short,
}

pub struct Keypair {
    pub id: Uuid,
    pub version: u32,
    pub seed: [u8; 32],
    pub active: bool,
    pub created: i64,
    pub updated: i64,
    pub rotated: Option<i64>,
}

impl Keypair {
    pub fn public_key(&self) -> [u8; 32] {
        SigningKey::from_bytes(&self.seed)
            .verifying_key()
            .to_bytes()
    }
}

pub struct Suite {
    pub generation: Generation,
    pub users: Vec<User>,
    pub wallets: Vec<Wallet>,
    pub shares: Vec<Share>,
    pub keypairs: Vec<Keypair>,
}

/// A number that is this text's.
pub fn number(text: &str) -> u128 {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(text);
    u128::from_be_bytes(digest[..16].try_into().unwrap())
}

fn id(kind: &str, user: u64) -> Uuid {
    uuid::Builder::from_random_bytes(number(&format!("{kind} {user}")).to_be_bytes()).into_uuid()
}

/// Microseconds of the years 2025 and 2026.
fn moment(kind: &str, user: u64) -> i64 {
    let range = 600_u128 * 86_400 * 1_000_000;
    1_735_689_600_000_000 + i64::try_from(number(&format!("{kind} at {user}")) % range).unwrap()
}

impl Suite {
    /// `users` ordinary users with both wallets each, all of Telegram (or known by their address, in the first
    /// generation).
    pub fn plain(generation: Generation, users: u64) -> Self {
        let mut suite = Self {
            generation,
            users: Vec::new(),
            wallets: Vec::new(),
            shares: Vec::new(),
            keypairs: vec![keypair(1, false), keypair(2, true)],
        };
        for user in 1..=users {
            suite.add_user(user);
        }
        suite
    }

    /// The same, and everything odd that may be met.
    pub fn odd(generation: Generation, users: u64) -> Self {
        let mut suite = Self::plain(generation, users);
        suite.keypairs = vec![keypair(1, false), keypair(2, false), keypair(5, true)];
        // Without wallets; the same address in other letters; with notes of all kinds.
        for (number, name) in [
            (ODD, "Somebody@example.com"),
            (ODD + 1, "somebody@example.com"),
        ] {
            let mut user = suite.user(number);
            user.identifier = name.to_owned();
            if generation == Generation::Second {
                user.auth_type = "auth0";
            }
            user.aux = Some("{\"note\": \"a\\tb \\\\ \\\"c\\\" ä\", \"list\": [1, 2]}".to_owned());
            suite.users.push(user);
        }
        let last = suite.shares.len();
        suite.shares[last - 1].aux = Some("{\"reason\": \"new\\nline\"}".to_owned());
        suite.wallets[0].aux = Some("[]".to_owned());
        // A wallet without its share.
        suite.add_user(ODD + 2);
        suite.shares.pop();
        for (place, spoilt) in [Spoilt::Damaged, Spoilt::NoBase64, Spoilt::Short]
            .into_iter()
            .enumerate()
        {
            suite.add_user(ODD + 3 + u64::try_from(place).unwrap());
            suite.shares.last_mut().unwrap().spoilt = Some(spoilt);
        }
        // A curve that nobody knows; a wallet whose user is gone; a share whose wallet is gone.
        suite.add_user(ODD + 6);
        suite.wallets.last_mut().unwrap().curve = "p256";
        suite.add_user(ODD + 7);
        suite.users.pop();
        suite.add_user(ODD + 8);
        suite.wallets.pop();
        suite
    }

    fn user(&self, user: u64) -> User {
        let (auth_type, identifier) = match self.generation {
            Generation::First => ("google", format!("user{user}@example.com")),
            Generation::Second => ("telegram", format!("telegram_{user}")),
        };
        let created = moment("user", user);
        User {
            id: id("user", user),
            auth_type,
            identifier,
            created,
            updated: created + 7,
            aux: None,
        }
    }

    /// A user with a wallet of each curve and their shares.
    pub fn add_user(&mut self, number: u64) {
        let user = self.user(number);
        for curve in ["secp256k1", "ed25519"] {
            let created = moment(curve, number);
            let wallet = Wallet {
                id: id(&format!("wallet {curve}"), number),
                user: user.id,
                curve,
                public_key: support::public_key(curve, number),
                created,
                updated: created + 1,
                aux: None,
            };
            let reshared = number.is_multiple_of(3);
            self.shares.push(Share {
                id: id(&format!("share {curve}"), number),
                wallet: wallet.id,
                share: support::share(curve, number),
                spoilt: None,
                reshared: created + 2 + if reshared { 86_400_000_001 } else { 0 },
                created: created + 2,
                updated: created + 3,
                aux: None,
            });
            self.wallets.push(wallet);
        }
        self.users.push(user);
    }

    pub fn active_key(&self) -> String {
        let active = self.keypairs.iter().rfind(|keypair| keypair.active);
        hex::encode(active.unwrap().public_key())
    }

    /// What makes this node's tables and fills them, for psql.
    pub fn sql(&self) -> String {
        let (prefix, first) = match self.generation {
            Generation::First => ("", true),
            Generation::Second => ("2_", false),
        };
        let mut sql = tables(prefix, first);
        let mut copy = |table: &str, columns: &str, lines: Vec<String>| {
            writeln!(sql, "COPY \"{prefix}{table}\" ({columns}) FROM STDIN;").unwrap();
            lines
                .iter()
                .for_each(|line| writeln!(sql, "{line}").unwrap());
            writeln!(sql, "\\.").unwrap();
        };
        let who = if first {
            "email"
        } else {
            "auth_type, user_auth_id"
        };
        copy(
            "users",
            &format!("user_id, {who}, created_at, updated_at, aux"),
            self.user_lines(),
        );
        copy(
            "wallets",
            "wallet_id, user_id, curve_type, public_key, created_at, updated_at, aux",
            self.wallet_lines(),
        );
        copy(
            "key_shares",
            "share_id, wallet_id, enc_share, status, reshared_at, created_at, updated_at, aux",
            self.share_lines(),
        );
        copy(
            "server_keypairs",
            "keypair_id, version, public_key, enc_private_key, is_active, created_at, updated_at, rotated_at",
            self.keypair_lines(),
        );
        sql
    }

    fn user_lines(&self) -> Vec<String> {
        let line = |user: &User| {
            let who = match self.generation {
                Generation::First => user.identifier.clone(),
                Generation::Second => format!("{}\t{}", user.auth_type, user.identifier),
            };
            let (created, updated) = (at(user.created), at(user.updated));
            format!(
                "{}\t{who}\t{created}\t{updated}\t{}",
                user.id,
                note(user.aux.as_deref())
            )
        };
        self.users.iter().map(line).collect()
    }

    fn wallet_lines(&self) -> Vec<String> {
        let line = |wallet: &Wallet| {
            format!(
                "{}\t{}\t{}\t\\\\x{}\t{}\t{}\t{}",
                wallet.id,
                wallet.user,
                wallet.curve,
                wallet.public_key,
                at(wallet.created),
                at(wallet.updated),
                note(wallet.aux.as_deref())
            )
        };
        self.wallets.iter().map(line).collect()
    }

    fn share_lines(&self) -> Vec<String> {
        let encryption = Encryption::default();
        let line = |(place, share): (usize, &Share)| {
            let text = match share.spoilt {
                Some(Spoilt::Short) => &share.share[2..],
                _ => &share.share,
            };
            let mut encrypted = encryption.encrypt(text, u64::try_from(place).unwrap());
            match share.spoilt {
                Some(Spoilt::Damaged) => encrypted
                    .replace_range(70..71, if &encrypted[70..71] == "A" { "B" } else { "A" }),
                Some(Spoilt::NoBase64) => encrypted.insert(3, '!'),
                _ => {}
            }
            format!(
                "{}\t{}\t\\\\x{}\tactive\t{}\t{}\t{}\t{}",
                share.id,
                share.wallet,
                hex::encode(encrypted),
                at(share.reshared),
                at(share.created),
                at(share.updated),
                note(share.aux.as_deref())
            )
        };
        self.shares.iter().enumerate().map(line).collect()
    }

    fn keypair_lines(&self) -> Vec<String> {
        let encryption = Encryption::default();
        let line = |keypair: &Keypair| {
            format!(
                "{}\t{}\t\\\\x{}\t{}\t{}\t{}\t{}\t{}",
                keypair.id,
                keypair.version,
                hex::encode(keypair.public_key()),
                encryption.encrypt(&hex::encode(keypair.seed), u64::from(keypair.version)),
                if keypair.active { "t" } else { "f" },
                at(keypair.created),
                at(keypair.updated),
                keypair.rotated.map_or("\\N".to_owned(), at)
            )
        };
        self.keypairs.iter().map(line).collect()
    }
}

fn keypair(version: u32, active: bool) -> Keypair {
    let (name, created) = (
        format!("seed {version}"),
        moment("keypair", u64::from(version)),
    );
    let seed = [number(&name), number(&(name + "'"))]
        .map(u128::to_be_bytes)
        .concat();
    Keypair {
        id: id("keypair", u64::from(version)),
        version,
        seed: seed.try_into().unwrap(),
        active,
        created,
        updated: created + 11,
        rotated: (!active).then_some(created + 11),
    }
}

fn at(micros: i64) -> String {
    let nanos = i128::from(micros) * 1000;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
    let form = time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]+00"
    );
    moment.format(form).unwrap()
}

/// JSON as a field of COPY.
fn note(aux: Option<&str>) -> String {
    aux.map_or("\\N".to_owned(), |aux| aux.replace('\\', "\\\\"))
}

/// The tables, as the suite's migrations make them.
fn tables(prefix: &str, first: bool) -> String {
    let times = "created_at timestamptz DEFAULT now() NOT NULL, updated_at timestamptz DEFAULT now() NOT NULL";
    let id = |name: &str| format!("{name} uuid DEFAULT gen_random_uuid() PRIMARY KEY");
    let who = if first {
        "email varchar(255) NOT NULL UNIQUE"
    } else {
        "auth_type varchar(64) NOT NULL, user_auth_id varchar(255) NOT NULL, UNIQUE (auth_type, user_auth_id)"
    };
    format!(
        "CREATE TABLE \"{prefix}key_shares\" ({}, wallet_id uuid NOT NULL UNIQUE, enc_share bytea NOT NULL,
             status varchar(255) NOT NULL, reshared_at timestamptz DEFAULT now() NOT NULL, {times}, aux jsonb);
         CREATE TABLE \"{prefix}pg_dumps\" ({}, status varchar(16) NOT NULL, dump_path varchar(255), meta jsonb, {times});
         CREATE TABLE \"{prefix}users\" ({}, {who}, status varchar(16) DEFAULT 'active' NOT NULL, {times}, aux jsonb);
         CREATE TABLE \"{prefix}wallets\" ({}, user_id uuid NOT NULL, curve_type varchar(16) NOT NULL,
             public_key bytea NOT NULL UNIQUE, {times}, aux jsonb);
         CREATE TABLE \"{prefix}server_keypairs\" ({}, version integer GENERATED ALWAYS AS IDENTITY UNIQUE,
             public_key bytea NOT NULL, enc_private_key text NOT NULL, is_active boolean DEFAULT true NOT NULL,
             {times}, rotated_at timestamptz);\n",
        id("share_id"),
        id("dump_id"),
        id("user_id"),
        id("wallet_id"),
        id("keypair_id"),
    )
}
