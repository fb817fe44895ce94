//! Requests as bytes, built before they are needed.

use std::fmt::Write;
use std::ops::Range;

use clap::ValueEnum;
use ksnode::clock::Timestamp;

use crate::users;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// `GET /`: what any request costs
    Liveness,
    Check,
    Get,
    Reshare,
    Register,
}

impl Call {
    /// In the order in which they are measured: registers, which change the database most, come last.
    pub const ALL: [Self; 5] = [
        Self::Liveness,
        Self::Check,
        Self::Get,
        Self::Reshare,
        Self::Register,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Liveness => "GET /",
            Self::Check => "check",
            Self::Get => "get",
            Self::Reshare => "reshare",
            Self::Register => "register",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Liveness => "/",
            Self::Check => "/keyshare/v2/check",
            Self::Get => "/keyshare/v2",
            Self::Reshare => "/keyshare/v2/reshare",
            Self::Register => "/keyshare/v2/register",
        }
    }

    /// How the body of every successful answer begins.
    pub fn expected(self) -> &'static [u8] {
        match self {
            Self::Liveness => b"",
            _ => br#"{"success":true"#,
        }
    }

    fn body(self, number: u64) -> String {
        let wallets = users::wallets(number);
        let (one, other) = (&wallets.secp256k1, &wallets.ed25519);
        let (one_key, other_key) = (hex::encode(one.0), hex::encode(other.0));
        match self {
            Self::Liveness => String::new(),
            Self::Check => format!(
                r#"{{"user_auth_id":"{}","auth_type":"telegram","wallets":{{"secp256k1":"{one_key}","ed25519":"{other_key}"}}}}"#,
                users::identifier(number)
            ),
            Self::Get => format!(
                r#"{{"auth_type":"telegram","wallets":{{"secp256k1":"{one_key}","ed25519":"{other_key}"}}}}"#
            ),
            Self::Reshare | Self::Register => format!(
                r#"{{"auth_type":"telegram","wallets":{{"secp256k1":{{"public_key":"{one_key}","share":"{}"}},"ed25519":{{"public_key":"{other_key}","share":"{}"}}}}}}"#,
                hex::encode(one.1),
                hex::encode(other.1)
            ),
        }
    }
}

/// Requests of one call, one a user, in one piece of memory.
#[derive(Default)]
pub struct Requests {
    text: String,
    ends: Vec<usize>,
}

impl Requests {
    /// The call of each of these users.
    pub fn new(call: Call, users: impl IntoIterator<Item = u64>, now: Timestamp) -> Self {
        let mut requests = Self::default();
        for number in users {
            requests.add(call, number, now);
        }
        requests
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The request at `index`; empty when there is none.
    pub fn at(&self, index: usize) -> &[u8] {
        self.range(index)
            .and_then(|range| self.text.as_bytes().get(range))
            .unwrap_or_default()
    }

    fn range(&self, index: usize) -> Option<Range<usize>> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        Some(start..*self.ends.get(index)?)
    }

    fn add(&mut self, call: Call, number: u64, now: Timestamp) {
        let text = &mut self.text;
        if call == Call::Liveness {
            text.push_str("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        } else {
            let body = call.body(number);
            let path = call.path();
            text.push_str("POST ");
            text.push_str(path);
            text.push_str(" HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n");
            if call != Call::Check {
                text.push_str("authorization: Bearer ");
                text.push_str(&users::token(number, now));
                text.push_str("\r\n");
            }
            // Writing to a string cannot fail.
            let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
        }
        self.ends.push(text.len());
    }
}
