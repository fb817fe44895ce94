//! What is sent back, and what every answer carries.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use warp::Reply;

use super::pages::Html;
use super::site::Answer;

/// What a page may load and do: what comes from this node, and no script or style that stands in the page itself.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer carries. The referrer stays within the node, where browsers need it to tell the origin of a form.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// A page.
pub(super) fn html(status: StatusCode, page: Html) -> Answer {
    with_type(status, "text/html; charset=utf-8", page.into_bytes())
}

/// Values for a script.
pub(super) fn json(status: StatusCode, values: &impl Serialize) -> Answer {
    match serde_json::to_vec(values) {
        Ok(bytes) => with_type(status, "application/json; charset=utf-8", bytes.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            with_type(
                StatusCode::INTERNAL_SERVER_ERROR,
                "application/json; charset=utf-8",
                Bytes::from_static(b"{}"),
            )
        }
    }
}

/// Any body of a known type.
pub(super) fn with_type(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    answer.into_response()
}

/// Sends the browser to a page of ours, by GET.
pub(super) fn see_other(path: &str) -> Answer {
    let mut answer = Response::new(Bytes::new()).into_response();
    *answer.status_mut() = StatusCode::SEE_OTHER;
    // Our own paths are plain ASCII.
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/admin"));
    answer.headers_mut().insert(header::LOCATION, path);
    answer
}

/// Puts on what every answer carries. One that says nothing of being kept is not kept.
pub(super) fn finish(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
