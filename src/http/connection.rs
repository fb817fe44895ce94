//! One connection: HTTP with timeouts, until the client leaves or the node stops.
//!
//! All timeouts are the client's. How long an answer takes is the call's own affair: a backup takes minutes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::malformed::Malformed;
use super::{FinalAnswer, Front, Ops, Redirect, http2};

/// How long a client may take for the headers of a request, and how long a connection may be idle between two.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// The same where clients are only redirected, after which the connection ends.
const REDIRECT_TIME: Duration = Duration::from_secs(10);
/// How long after a stop a client that has connected and not asked yet is waited for: it was not refused, and would take a
/// connection that ends without an answer for a failure. One that has asked before knows that connections end.
pub(super) const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long a client may refuse to take more of an answer.
pub(super) const WRITE_STALL: Duration = Duration::from_secs(30);
/// Bytes kept of a request that is not parsed yet. The front's own limit on headers is lower; this one is for
/// clients that never end them.
pub(super) const BUFFER: usize = 32 * 1024;
/// Headers of a request.
const HEADERS: usize = 100;

/// What may be spoken over TLS, the preferred one first (RFC 7301).
pub const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How a connection speaks HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and 1.1: in clear, and over TLS when nothing else was agreed on.
    Http1,
    /// HTTP/2, which is agreed on in the TLS handshake alone.
    Http2,
}

impl Protocol {
    /// What a handshake agreed on.
    pub fn negotiated(alpn: Option<&[u8]>) -> Self {
        if alpn == ALPN.first().copied() {
            Self::Http2
        } else {
            Self::Http1
        }
    }
}

/// Serves the API over `stream`.
pub async fn serve_api<S>(
    stream: S,
    protocol: Protocol,
    peer: SocketAddr,
    front: Front,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let _open = front.connected();
    match protocol {
        Protocol::Http1 => {
            let refusing = front.clone();
            let stream = Malformed::new(stream, move |status| refusing.malformed(peer, status));
            let answer = |request| front.answer(peer, request);
            serve(stream, HEADER_TIME, stop, answer).await;
        }
        Protocol::Http2 => {
            let answer = move |request| {
                let front = front.clone();
                async move { front.answer(peer, request).await }
            };
            http2::serve(stream, http2::Times::default(), stop, answer).await;
        }
    }
}

/// Serves metrics and health over `stream`.
pub async fn serve_ops<S>(stream: S, ops: Ops, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    serve(stream, HEADER_TIME, stop, |request| ops.answer(request)).await;
}

/// Redirects whoever comes over `stream`.
pub async fn serve_redirect<S>(stream: S, redirect: Redirect, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    serve(stream, REDIRECT_TIME, stop, |request| {
        std::future::ready(redirect.answer(&request))
    })
    .await;
}

async fn serve<S, F>(
    stream: S,
    header_time: Duration,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F + Send,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
    F: Future<Output = FinalAnswer> + Send,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_STALL));
    let asked = Notify::new();
    let service = service_fn(|request| {
        asked.notify_one();
        let answer = answer(request);
        async {
            let mut answer = answer.await;
            if stop.is_cancelled() {
                let headers = answer.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let last = async {
        stop.cancelled().await;
        // Told at once when there was a request before.
        let _ = timeout(FIRST_REQUEST, asked.notified()).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = last => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use warp::Reply;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_long_call_is_not_cut_off() {
        let (near, mut client) = duplex(1000);
        let (begun, finish) = (Notify::new(), Notify::new());
        let time = Duration::from_millis(50);
        let served = serve(near, time, CancellationToken::new(), |_| async {
            begun.notify_one();
            finish.notified().await;
            "done".into_response()
        });
        let asked = async {
            client.write_all(REQUEST).await.unwrap();
            begun.notified().await;
            // Clients that say nothing are cut off meanwhile, one after another: so much time has passed.
            for _ in 0..3 {
                let (near, _idle) = duplex(1000);
                let stop = CancellationToken::new();
                serve(near, time, stop, |_| async { "".into_response() }).await;
            }
            finish.notify_one();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let ((), answer) = tokio::join!(served, asked);
        assert!(answer.ends_with("\r\n\r\ndone"), "{answer}");
    }
}
