//! Identity providers and other receivers on loopback: an HTTP server that answers what it is told, and keys that sign ID tokens.
//!
//! Tokens are put together by hand, so that what is verified was not made by the library that verifies it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// What a path answers.
#[derive(Clone)]
enum Reply {
    Body(u16, String),
    /// By the bearer token; any other is answered with 401.
    ByToken(HashMap<String, (u16, String)>),
    /// Nothing; the connection stays open.
    Never,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, Reply>,
    seen: Vec<Seen>,
}

/// A request as it came.
#[derive(Clone)]
pub struct Seen {
    path: String,
    /// By name, in lower case.
    pub headers: HashMap<String, String>,
}

/// The server. Its threads end with the program.
pub struct Issuer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Issuer {
    /// Answers 404 to everything, until told otherwise.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let answering = Arc::clone(&script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let script = Arc::clone(&answering);
                std::thread::spawn(move || serve(stream.unwrap(), &script));
            }
        });
        Self { address, script }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn reply(&self, path: &str, reply: Reply) {
        let mut script = self.script.lock().unwrap();
        script.replies.insert(path.to_owned(), reply);
    }

    pub fn answers(&self, path: &str, status: u16, body: &Value) {
        self.reply(path, Reply::Body(status, body.to_string()));
    }

    pub fn answers_by_token(&self, path: &str, answers: &[(&str, u16, Value)]) {
        let answers = answers
            .iter()
            .map(|(token, status, body)| ((*token).to_owned(), (*status, body.to_string())));
        self.reply(path, Reply::ByToken(answers.collect()));
    }

    pub fn never_answers(&self, path: &str) {
        self.reply(path, Reply::Never);
    }

    /// Publishes these keys at `path`.
    pub fn publishes(&self, path: &str, keys: &[Value]) {
        self.answers(path, 200, &json!({ "keys": keys }));
    }

    /// How often `path` was asked.
    pub fn hits(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    /// What came to `path`.
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        let seen = script.seen.iter().filter(|seen| seen.path == path);
        seen.cloned().collect()
    }
}

fn serve(stream: TcpStream, script: &Mutex<Script>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let seen = read(&mut reader)?;
        let authorization = seen.headers.get("authorization").cloned();
        let token = authorization.unwrap_or_default().replace("Bearer ", "");
        let reply = {
            let mut script = script.lock().unwrap();
            let reply = script.replies.get(&seen.path).cloned();
            script.seen.push(seen);
            reply
        };
        let refused = |status| (status, "{}".to_owned());
        let (status, body) = match reply {
            None => refused(404),
            Some(Reply::Never) => continue,
            Some(Reply::Body(status, body)) => (status, body),
            Some(Reply::ByToken(answers)) => {
                answers.get(&token).cloned().unwrap_or_else(|| refused(401))
            }
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut lines = reader.by_ref().lines();
    let request = lines.next()?.ok()?;
    let mut headers = HashMap::new();
    loop {
        let line = lines.next()?.ok()?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    Some(Seen {
        path: request.split(' ').nth(1)?.to_owned(),
        headers,
    })
}

/// A key pair of an issuer's.
pub enum Key {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// An RSA key to publish, and one never to publish. Making one takes long, so the tests share them.
pub static RSA: LazyLock<Key> = LazyLock::new(|| Key::Rs256(rsa()));
pub static OTHER_RSA: LazyLock<Key> = LazyLock::new(|| Key::Rs256(rsa()));

fn rsa() -> RsaKeyPair {
    RsaKeyPair::generate(KeySize::Rsa2048).unwrap()
}

impl Key {
    pub fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn ed_dsa() -> Self {
        Self::EdDsa(Ed25519KeyPair::generate().unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The public key as an issuer publishes it (RFC 7517, RFC 8037).
    pub fn published(&self, id: &str) -> Value {
        match self {
            Self::Rs256(pair) => {
                let n = pair.public_key().modulus();
                let e = pair.public_key().exponent();
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256",
                    "n": encoded(n.big_endian_without_leading_zero()),
                    "e": encoded(e.big_endian_without_leading_zero())})
            }
            Self::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": encoded(x), "y": encoded(y)})
            }
            Self::EdDsa(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x})
            }
        }
    }

    /// The public key in PEM, DER and as its modulus: what a confused verifier may take for a shared secret.
    pub fn public_texts(&self) -> Vec<Vec<u8>> {
        let Self::Rs256(pair) = self else {
            panic!("an RSA key is wanted")
        };
        let der = pair.public_key().as_ref().to_vec();
        let lines = base64::engine::general_purpose::STANDARD.encode(&der);
        let pem =
            format!("-----BEGIN RSA PUBLIC KEY-----\n{lines}\n-----END RSA PUBLIC KEY-----\n");
        let modulus = pair.public_key().modulus();
        let modulus = modulus.big_endian_without_leading_zero().to_vec();
        vec![
            pem.into_bytes(),
            der,
            encoded(&modulus).into_bytes(),
            modulus,
        ]
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature)
                    .unwrap();
                signature
            }
            Self::Es256(pair) => pair.sign(&random, text).unwrap().as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(text).as_ref().to_vec(),
        }
    }

    /// An ID token signed with this key.
    pub fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "JWT", "kid": id});
        self.token_with(&header, claims)
    }

    /// The same with any header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let signature = encoded(&self.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

pub fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header and claims without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let header = encoded(header.to_string().as_bytes());
    format!("{header}.{}", encoded(claims.to_string().as_bytes()))
}

/// An HS256 token under `secret`.
pub fn hs256(secret: &[u8], id: &str, claims: &Value) -> String {
    use aws_lc_rs::hmac;
    let text = unsigned(&json!({"alg": "HS256", "typ": "JWT", "kid": id}), claims);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", encoded(tag.as_ref()))
}
