//! A connection of HTTP/2.
//!
//! The limits are those of HTTP/1.1 as far as the protocol lets them be the same. Two are its own. hyper waits for ever
//! for a client that agreed on HTTP/2 and never says a word of it, and for one that has opened a connection and asks
//! nothing: so a silent client is cut off, and an idle one is sent away (GOAWAY). A client is silent when it does not even
//! answer pings, and idle when it answers them and has no request under way. And a client may leave an answer
//! untaken by never opening its window, without the connection stalling: it is cut off when it has asked nothing new, and
//! taken nothing, for the time of two looks. (A long answer that is being taken, as the file of a backup, is no idleness.)
//!
//! A client that opens streams only to reset them (CVE-2023-44487, CVE-2025-8671) is ended by the protocol library when
//! more than a few of these are pending; what it gets through to the calls counts for its rate limit.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::FinalAnswer;
use super::connection::{BUFFER, FIRST_REQUEST, WRITE_STALL};
use super::watched::Watched;

/// Requests of one connection that are under way at once.
const STREAMS: u32 = 100;
/// Bytes of a request's body that may be on their way: what a body may have at most, and a little.
const STREAM_WINDOW: u32 = 128 * 1024;
/// The same of all requests of a connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Streams that the client has reset and nobody has looked at yet.
const PENDING_RESETS: usize = 20;
/// Streams that the client made the node reset, over the life of a connection.
const PROVOKED_RESETS: usize = 256;

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Between two pings, and until one is answered.
    ping: Duration,
    /// Without a single byte from the client: longer than until an answered ping.
    silence: Duration,
    /// Between two looks whether the client asks anything.
    idle: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        }
    }
}

/// Requests of a connection.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    /// Parts of answers that went out.
    sent: AtomicU64,
    under_way: AtomicUsize,
    came: Notify,
}

/// One request under way; it is over when this is dropped, whichever way it ended.
struct Busy(Arc<Activity>);

impl Activity {
    fn begin(this: &Arc<Self>) -> Busy {
        this.begun.fetch_add(1, Ordering::Relaxed);
        this.under_way.fetch_add(1, Ordering::Relaxed);
        this.came.notify_one();
        Busy(this.clone())
    }

    /// Returns when there was a request.
    async fn first(&self) {
        while self.begun.load(Ordering::Relaxed) == 0 {
            self.came.notified().await;
        }
    }

    fn moved(&self) -> (u64, u64) {
        (
            self.begun.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
        )
    }

    /// Returns when no request was under way or came, and nothing of an answer went out, between two looks.
    async fn idle(&self, between: Duration) {
        loop {
            let before = self.moved();
            tokio::time::sleep(between).await;
            let same = self.moved() == before;
            if same && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves until the client leaves, has nothing to ask, or `stop`.
pub(super) async fn serve<S, F>(
    stream: S,
    times: Times,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
    F: Future<Output = FinalAnswer> + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(times.silence));
    stream.set_write_timeout(Some(WRITE_STALL));
    let activity = Arc::new(Activity::default());
    let counted = activity.clone();
    let service = service_fn(move |request| {
        let busy = Activity::begin(&counted);
        let answer = answer(request);
        let activity = counted.clone();
        async move {
            let answer = answer.await;
            drop(busy);
            let sent = move || {
                activity.sent.fetch_add(1, Ordering::Relaxed);
            };
            Ok::<_, Infallible>(answer.map(|body| Watched::new(body, sent)))
        }
    });
    let connection = builder(times).serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sent_away(&stop, &activity, times) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = activity.idle(times.idle) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn sent_away(stop: &CancellationToken, activity: &Activity, times: Times) {
    let idle = stop.run_until_cancelled(activity.idle(times.idle)).await;
    if idle.is_none() {
        let _ = timeout(FIRST_REQUEST, activity.first()).await;
    }
}

fn builder(times: Times) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(times.ping)
        .keep_alive_timeout(times.ping)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(BUFFER).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(PROVOKED_RESETS);
    builder
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use warp::Reply;

    use super::*;

    const SHORT: Times = Times {
        ping: Duration::from_secs(30),
        silence: Duration::from_millis(100),
        idle: Duration::from_secs(30),
    };

    async fn serving(near: DuplexStream, times: Times) {
        let stop = CancellationToken::new();
        serve(near, times, stop, |_| async { "Ok".into_response() }).await;
    }

    #[tokio::test]
    async fn a_client_that_never_begins_is_cut_off() {
        let (near, _far) = duplex(10_000);
        serving(near, SHORT).await;
        // Neither does half of the opening help.
        let (near, mut far) = duplex(10_000);
        far.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
        serving(near, SHORT).await;
    }

    #[tokio::test]
    async fn a_client_that_asks_nothing_is_sent_away() {
        let times = Times {
            silence: Duration::from_secs(30),
            idle: Duration::from_millis(50),
            ..SHORT
        };
        let (near, mut far) = duplex(10_000);
        let served = tokio::spawn(serving(near, times));
        far.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await
            .unwrap();
        // Empty settings.
        far.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        // It stays, says nothing more, and the connection ends all the same.
        served.await.unwrap();
        let mut said = Vec::new();
        far.read_to_end(&mut said).await.unwrap();
        // GOAWAY has type 7, and nothing before it holds its header: eight bytes on stream 0.
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0];
        assert!(said.windows(9).any(|bytes| bytes == goaway), "{said:?}");
    }

    #[tokio::test]
    async fn a_request_under_way_is_not_idleness() {
        let activity = Arc::new(Activity::default());
        let busy = Activity::begin(&activity);
        let wait = Duration::from_millis(10);
        tokio::time::timeout(wait * 5, activity.idle(wait))
            .await
            .unwrap_err();
        drop(busy);
        activity.idle(wait).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_being_taken_is_not_idleness() {
        let activity = Arc::new(Activity::default());
        let idle = activity.idle(Duration::from_millis(40));
        let sending = async {
            for _ in 0..20 {
                activity.sent.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = idle => panic!("cut off while it was taken"),
            () = sending => {}
        }
        activity.idle(Duration::from_millis(40)).await;
    }
}
