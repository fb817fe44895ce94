//! Clients that are not ours (curl, openssl) and one that does what it is told (rustls).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::pairs::Authority;
use crate::support::{Node, wait_for};

/// What curl prints, which must succeed.
#[track_caller]
pub fn curl(authority: &Authority, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-m", "30", "--noproxy", "*", "-q", "--cacert"])
        .arg(&authority.root)
        .args(arguments)
        .output()
        .expect("this test needs curl; on Debian tests/all installs it");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The same without looking at the certificate.
#[track_caller]
pub fn curl_insecurely(url: &str) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-m", "30", "--noproxy", "*", "-q", "--insecure", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `openssl s_client` says of a connection over which it asks for `/`.
pub fn openssl(authority: &Authority, node: &Node, arguments: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args([
            "s_client",
            "-ign_eof",
            "-servername",
            "localhost",
            "-connect",
            node.address(),
        ])
        .arg("-CAfile")
        .arg(&authority.root)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this test needs openssl; on Debian tests/all installs it");
    let mut stdin = child.stdin.take().unwrap();
    // It may have been refused already.
    let _ = stdin.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A client that trusts an authority.
#[derive(Clone)]
pub struct Roots(pub Arc<ClientConfig>);

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Roots {
    pub fn of(authority: &Authority) -> Self {
        Self::with(authority, &[])
    }

    /// One that trusts the root in this file.
    pub fn of_file(root: &Path) -> Self {
        Self::made(root, &[])
    }

    /// One that wants these application protocols.
    pub fn with(authority: &Authority, alpn: &[&str]) -> Self {
        Self::made(&authority.root, alpn)
    }

    fn made(root: &Path, alpn: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(root).unwrap())
            .unwrap();
        let mut config = ClientConfig::builder_with_provider(ksnode::crypto::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self(Arc::new(config))
    }

    /// A connection, its handshake done.
    pub fn connect(&self, node: &Node) -> Stream {
        self.connect_as(node, "localhost")
    }

    /// The same to a node of this name.
    #[track_caller]
    pub fn connect_as(&self, node: &Node, name: &str) -> Stream {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(self.0.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, node.connect());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream
    }
}

/// Asks for `/` over HTTP/1.1 and reads the answer, which ends with `Ok`; what came until the connection ended otherwise.
pub fn ask(stream: &mut Stream) -> String {
    let mut answer = Vec::new();
    if stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .is_ok()
    {
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\nOk") && matches!(stream.read(&mut byte), Ok(1)) {
            answer.push(byte[0]);
        }
    }
    String::from_utf8(answer).unwrap()
}

/// Everything that comes until the other side closes.
pub fn read_until_closed(stream: &mut impl Read) -> Vec<u8> {
    let (mut said, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return said,
            Ok(length) => said.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it was not closed"),
            Err(_) => return said,
        }
    }
}

/// The value of a series, waited for a moment.
#[track_caller]
pub fn series(node: &Node, name: &str) -> f64 {
    wait_for(name, || find(node, |line| line.strip_prefix(name)).pop())
}

/// Waits until a series has this value: a connection is counted a moment after it ended.
#[track_caller]
pub fn becomes(node: &Node, name: &str, value: f64) {
    wait_for(&format!("{name} {value}"), || {
        (series(node, name) == value).then_some(())
    });
}

/// Completed handshakes, of all key exchanges.
pub fn handshakes(node: &Node, version: &str, kind: &str) -> f64 {
    let prefix = format!(r#"ksnode_tls_handshakes_total{{version="{version}",kind="{kind}""#);
    find(node, |line| {
        line.strip_prefix(&prefix)?
            .split_once('}')
            .map(|(_, rest)| rest)
    })
    .iter()
    .sum()
}

fn find<'a>(node: &Node, rest: impl Fn(&str) -> Option<&str> + 'a) -> Vec<f64> {
    let page = node.get_ops("/metrics").text;
    page.lines()
        .filter_map(|line| rest(line)?.strip_prefix(' ')?.parse().ok())
        .collect()
}
