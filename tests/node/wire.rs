//! Connections whose bytes are the test's own, and calls that are sent at the same moment.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use crate::support::{Answer, Node};

/// A connection to a node.
pub struct Wire(TcpStream);

impl Wire {
    pub fn to(node: &Node) -> Self {
        let stream = TcpStream::connect(node.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Sends bytes. The node may refuse and close before it has read them all.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.0.write_all(bytes.as_ref());
        self
    }

    /// Reads an answer with a body.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let length = head.header("content-length").parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        Answer {
            text: String::from_utf8(body).unwrap(),
            ..head
        }
    }

    /// Reads status and headers; the text stays empty.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let read = self.0.read(&mut byte).unwrap();
            assert_eq!(read, 1, "ended in {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let (status, fields) = head.split_once("\r\n").unwrap();
        let mut headers = HeaderMap::new();
        for field in fields.lines().filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once(':').unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value.trim()).unwrap(),
            );
        }
        Answer {
            status: status.split(' ').nth(1).unwrap().parse().unwrap(),
            headers,
            text: String::new(),
        }
    }

    /// Everything until the node closes the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            // A node that closes with bytes unread resets the connection.
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => rest,
        }
    }
}

/// A `POST` as bytes.
pub fn post_bytes(path: &str, token: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends each request over a connection of its own, all at the same moment.
pub fn race(node: &Node, requests: &[Vec<u8>]) -> Vec<Answer> {
    let start = Barrier::new(requests.len());
    std::thread::scope(|scope| {
        let racers: Vec<_> = requests
            .iter()
            .map(|request| {
                let start = &start;
                scope.spawn(move || {
                    let mut wire = Wire::to(node);
                    start.wait();
                    wire.send(request).answer()
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap())
            .collect()
    })
}
