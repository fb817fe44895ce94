//! Answering what is not HTTP in the same manner as everything else.
//!
//! hyper refuses a request that it cannot parse by itself, with a bare status line and an empty body, before any of
//! our code sees it. Every answer of the node is JSON and counts for the rate limit (api.md), so this stream looks at
//! what hyper writes: an empty refusal is replaced by ours. Our own answers always carry a request id and pass
//! unchanged; hyper closes the connection after its refusal, so the replacement never has to be undone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answer::Answer;

/// A stream that replaces hyper's empty refusals by those that `refuse` makes.
pub(super) struct Malformed<S> {
    stream: Pin<Box<S>>,
    refuse: Box<dyn Fn(StatusCode) -> Answer + Send + Sync>,
    /// What is still to be written of a replacement.
    pending: Bytes,
}

impl<S> Malformed<S> {
    pub(super) fn new(
        stream: S,
        refuse: impl Fn(StatusCode) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self {
            stream: Box::pin(stream),
            refuse: Box::new(refuse),
            pending: Bytes::new(),
        }
    }
}

impl<S: AsyncWrite> Malformed<S> {
    fn poll_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pending.has_remaining() {
            let written = ready!(self.stream.as_mut().poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The status of an empty refusal of hyper's.
fn empty_refusal(written: &[u8]) -> Option<StatusCode> {
    let head = written
        .strip_suffix(b"\r\n\r\n")?
        .strip_prefix(b"HTTP/1.1 4")?;
    let (last_digits, _) = head.split_at_checked(2)?;
    let text = std::str::from_utf8(head).ok()?;
    let empty = text.contains("\r\ncontent-length: 0");
    let ours = text.contains("\r\nx-request-id: ");
    let status = std::str::from_utf8(last_digits).ok()?.parse::<u16>().ok()?;
    (empty && !ours).then(|| StatusCode::from_u16(400_u16.saturating_add(status)).ok())?
}

/// The answer as bytes of HTTP/1.1, for a connection that ends with it.
pub(super) fn serialized(answer: &Answer) -> Bytes {
    let mut bytes = format!("HTTP/1.1 {}\r\n", answer.status()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let end = format!(
        "connection: close\r\ncontent-length: {}\r\n\r\n",
        answer.body().len()
    );
    bytes.extend_from_slice(end.as_bytes());
    bytes.extend_from_slice(answer.body());
    bytes.into()
}

impl<S: AsyncWrite> AsyncWrite for Malformed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_pending(context))?;
        match empty_refusal(buffer) {
            None => self.stream.as_mut().poll_write(context, buffer),
            Some(status) => {
                self.pending = serialized(&(self.refuse)(status));
                // The caller's bytes are dealt with; the replacement goes out with the flush that follows.
                Poll::Ready(Ok(buffer.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_pending(context))?;
        self.stream.as_mut().poll_shutdown(context)
    }
}

impl<S: AsyncRead> AsyncRead for Malformed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::http::error::{ApiError, Code};

    async fn through(written: &[u8]) -> String {
        let (stream, mut far) = tokio::io::duplex(10_000);
        let mut stream = Malformed::new(stream, |status| {
            crate::http::answer::refusal(&ApiError::with_status(status, Code::InvalidRequest, "no"))
        });
        stream.write_all(written).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        let mut seen = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut far, &mut seen)
            .await
            .unwrap();
        seen
    }

    #[tokio::test]
    async fn an_empty_refusal_becomes_json() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
                     content-length: 0\r\ndate: today\r\n\r\n";
        let seen = through(bare).await;
        assert!(
            seen.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"),
            "{seen}"
        );
        assert!(
            seen.ends_with(r#"{"success":false,"code":"INVALID_REQUEST","msg":"no"}"#),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn everything_else_passes_unchanged() {
        for text in [
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 1\r\n\r\nx",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(through(text.as_bytes()).await, text);
        }
    }
}
