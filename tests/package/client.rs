//! A client that opens a new connection for every request and tries nothing twice.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than a restart takes; a client that hangs is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back, its headers left out.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks loopback's port of the network that the calling thread is in.
pub fn get(port: u16, path: &str) -> io::Result<Answer> {
    send(port, &format!("GET {path} HTTP/1.1\r\n{END}"))
}

/// Posts JSON with a bearer token.
pub fn post(port: u16, path: &str, token: &str, body: &Value) -> io::Result<Answer> {
    let body = body.to_string();
    let length = body.len();
    send(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{END}{body}"
        ),
    )
}

/// The headers of every request. HTTP/1.1, so that a body's end is known and a cut one is an error.
const END: &str = "Host: 127.0.0.1\r\nConnection: close\r\n\r\n";

fn send(port: u16, request: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer)
        .ok_or_else(|| io::Error::other(format!("not a whole answer to {request:?}: {answer:?}")))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    (length == Some(body.len())).then(|| Answer {
        status,
        body: body.to_owned(),
    })
}
