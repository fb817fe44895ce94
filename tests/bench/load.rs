//! The generator of load: keep-alive connections on one thread, each sending its next request when the last is
//! answered.
//!
//! It shares two cores with the node it measures, so it does as little as can be done: requests are bytes made in
//! advance, answers are checked for status, length and first bytes and not parsed. Tools such as oha or wrk
//! were not taken because each register needs a request of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use memchr::memmem;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::requests::Requests;
use crate::users::Numbers;

/// Which request comes next.
#[derive(Clone)]
pub enum Order {
    /// Any of them, as often as it falls.
    Random,
    /// Each once, in turn; the load ends when all were sent.
    Once(Arc<AtomicUsize>),
}

/// A load to be put on a node.
#[derive(Clone)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    /// How to speak TLS; in clear without.
    pub tls: Option<Arc<ClientConfig>>,
    pub requests: Arc<Requests>,
    pub order: Order,
    /// How the body of every answer must begin.
    pub expected: &'static [u8],
    pub time: Duration,
}

/// What a load met with.
pub struct Measured {
    pub elapsed: Duration,
    /// Time from a request's first byte to its answer's last, in nanoseconds.
    pub latencies: Histogram<u64>,
}

impl Load {
    /// Puts the load on the node. The first request that is not answered as expected is an error.
    pub async fn run(&self) -> anyhow::Result<Measured> {
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            connections.push(match &self.tls {
                Some(config) => Either::Right(secured(self.address, config).await?),
                None => Either::Left(connect(self.address).await?),
            });
        }
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for (seed, stream) in (1_u64..).zip(connections) {
            let client = Client {
                stream,
                answer: vec![0; 16 * 1024],
                numbers: Numbers::new(seed),
                load: self.clone(),
            };
            clients.spawn(client.run(began + self.time));
        }
        let mut latencies = histogram()?;
        while let Some(client) = clients.join_next().await {
            latencies.add(client??)?;
        }
        Ok(Measured {
            elapsed: began.elapsed(),
            latencies,
        })
    }
}

/// An empty histogram of nanoseconds with three significant digits.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new(3)?)
}

/// A connection in clear.
async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection, its handshake done.
pub async fn secured(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> anyhow::Result<TlsStream<TcpStream>> {
    let stream = connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(config.clone())
        .connect(name, stream)
        .await?)
}

struct Client {
    stream: Either<TcpStream, TlsStream<TcpStream>>,
    answer: Vec<u8>,
    numbers: Numbers,
    load: Load,
}

impl Client {
    async fn run(mut self, end: Instant) -> anyhow::Result<Histogram<u64>> {
        let mut latencies = histogram()?;
        let requests = self.load.requests.clone();
        let mut sent = Instant::now();
        while sent < end {
            let index = match &self.load.order {
                Order::Random => self.numbers.below(requests.len()),
                Order::Once(next) => next.fetch_add(1, Ordering::Relaxed),
            };
            if index >= requests.len() {
                break;
            }
            exchange(
                &mut self.stream,
                &mut self.answer,
                requests.at(index),
                self.load.expected,
            )
            .await?;
            let answered = Instant::now();
            latencies.record(u64::try_from((answered - sent).as_nanos())?)?;
            sent = answered;
        }
        Ok(latencies)
    }
}

/// Sends a request and reads its answer, for which there is room in `room`.
pub async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    room: &mut [u8],
    request: &[u8],
    expected: &[u8],
) -> anyhow::Result<()> {
    stream.write_all(request).await?;
    let mut length = 0;
    loop {
        let free = room.get_mut(length..).unwrap_or_default();
        let more = stream.read(free).await?;
        ensure!(more > 0, "a connection was closed under load");
        length += more;
        let read = room.get(..length).unwrap_or_default();
        if let Some(body) = whole_body(read)? {
            if !read.starts_with(b"HTTP/1.1 200 ") || !body.starts_with(expected) {
                bail!("a request failed: {}", String::from_utf8_lossy(read));
            }
            return Ok(());
        }
    }
}

/// The body, once all of it was read.
fn whole_body(read: &[u8]) -> anyhow::Result<Option<&[u8]>> {
    const LENGTH: &[u8] = b"\r\ncontent-length: ";
    let Some(end) = memmem::find(read, b"\r\n\r\n") else {
        return Ok(None);
    };
    let (head, body) = read.split_at(end + 4);
    let start = memmem::find(head, LENGTH).context("an answer without content-length")?;
    let digits = head.iter().skip(start + LENGTH.len());
    let length = digits
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    ensure!(body.len() <= length, "an answer is longer than it says");
    Ok((body.len() == length).then_some(body))
}
