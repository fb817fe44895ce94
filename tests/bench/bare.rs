//! What a node under TLS is measured against: rustls and tokio, a task for each connection, one fixed answer, and nothing else.
//!
//! Cryptography, certificate, preferences and resumption are the node's. It is a process of its own, as the node is, so
//! that its processor time can be told from the generator's.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::node::Node;

/// The files in its folder: PEM, and the bytes of the answer.
pub const CERTIFICATE: &str = "certificate.pem";
pub const KEY: &str = "key.pem";
pub const ANSWER: &str = "answer";

/// A running one.
pub struct Bare {
    pub process: Node,
    /// Where it speaks without TLS.
    pub clear: SocketAddr,
}

/// Starts one with what is in `folder`.
pub fn start(folder: &Path) -> anyhow::Result<Bare> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--bare")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().context("it has no output")?;
    // Owned from here on, so that it is ended whatever fails.
    let mut process = Node::adopt(child, SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
    let (secured, clear) = line.trim().split_once(' ').context("it did not start")?;
    process.address = secured.parse()?;
    let clear = clear.parse()?;
    Ok(Bare { process, clear })
}

/// Serves until it is killed.
pub fn serve(folder: &Path) -> anyhow::Result<()> {
    let answer: Arc<[u8]> = std::fs::read(folder.join(ANSWER))?.into();
    let acceptor = TlsAcceptor::from(Arc::new(config(folder)?));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let secured = TcpListener::bind("127.0.0.1:0").await?;
        let clear = TcpListener::bind("127.0.0.1:0").await?;
        println!("{} {}", secured.local_addr()?, clear.local_addr()?);
        std::io::stdout().flush()?;
        tokio::try_join!(
            accept(secured, Some(acceptor), answer.clone()),
            accept(clear, None, answer)
        )?;
        Ok(())
    })
}

fn config(folder: &Path) -> anyhow::Result<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(folder.join(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY))?;
    let mut config = ServerConfig::builder_with_provider(ksnode::crypto::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new()?;
    Ok(config)
}

async fn accept(
    socket: TcpListener,
    acceptor: Option<TlsAcceptor>,
    answer: Arc<[u8]>,
) -> anyhow::Result<()> {
    loop {
        let (stream, _) = socket.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        // A connection that breaks is the generator's to tell.
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => respond(acceptor.accept(stream).await?, &answer).await,
                None => respond(stream, &answer).await,
            }
        });
    }
}

async fn respond(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &[u8],
) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let mut length = 0;
    loop {
        let more = stream.read(&mut request[length..]).await?;
        if more == 0 {
            return stream.shutdown().await;
        }
        length += more;
        if request[..length].ends_with(b"\r\n\r\n") {
            stream.write_all(answer).await?;
            length = 0;
        }
    }
}
