//! Doors for fuzzers ([`crate::fuzzing`]): what comes over the local socket.

use futures_util::FutureExt;

use super::protocol::{EVENT_BYTES, REQUEST_BYTES, read_line};
use super::{Event, Request};

/// Lines, as requests and as answers.
pub fn lines(bytes: &[u8]) {
    for limit in [16, REQUEST_BYTES, EVENT_BYTES] {
        let mut rest = bytes;
        // Bytes in memory are never waited for.
        while let Some(Ok(Some(line))) = read_line(&mut rest, limit).now_or_never() {
            let _ = Request::parse(&line).is_ok();
            let _ = serde_json::from_slice::<Event>(&line).is_ok();
        }
    }
}
