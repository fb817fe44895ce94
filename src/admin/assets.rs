//! Styles, scripts and pictures, from the binary.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::PageError;
use super::answer::with_type;
use super::site::Answer;

/// The asset of that name. It needs no session: the login looks like the rest.
pub(super) fn answer(name: &str, _headers: &HeaderMap) -> Result<Answer, PageError> {
    let style = include_bytes!("../../assets/style.css");
    match name {
        "style.css" => {
            let style = Bytes::from_static(style);
            let mut answer = with_type(StatusCode::OK, "text/css; charset=utf-8", style);
            let kept = HeaderValue::from_static("no-cache");
            answer.headers_mut().insert(header::CACHE_CONTROL, kept);
            Ok(answer)
        }
        _ => Err(PageError::NotFound),
    }
}
