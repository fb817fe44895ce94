//! A request, read whole and within bounds before anything looks at it.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Body;

use super::body::{self, Unread};
use super::error::{ApiError, Code};

/// Bytes of request line and headers together; more is answered with 431. An ID token has two thousand at most.
const HEADER_BYTES: usize = 16 * 1024;

/// The whole request, HEAD as GET.
pub(super) async fn whole<B>(request: Request<B>) -> Result<Request<Bytes>, Unread>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    let (mut head, incoming) = request.into_parts();
    if header_bytes(&head.headers) + head.uri.to_string().len() > HEADER_BYTES {
        return Err(headers_too_large().into());
    }
    // A target without a path (CONNECT's) is nothing that warp can route: it panics.
    if head.uri.path().is_empty() {
        return Err(ApiError::invalid_request("the request's target has no path").into());
    }
    let body = body::read(&head.headers, incoming).await?;
    if head.method == Method::HEAD {
        head.method = Method::GET;
    }
    Ok(Request::from_parts(head, body))
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// More than [`HEADER_BYTES`].
pub(super) fn headers_too_large() -> ApiError {
    ApiError::with_status(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::InvalidRequest,
        "the request's headers have more than 16 kB",
    )
}
