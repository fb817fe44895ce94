//! Doors for fuzzers ([`crate::fuzzing`]): what a browser, or somebody in its place, sends to the admin page.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Uri, header};

use super::form::{Form, query};
use super::{forgery, login};

/// A form, and the query of a page.
pub fn forms(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, form);
    if let Ok(form) = Form::read(&headers, &Bytes::copy_from_slice(bytes)) {
        let _ = (form.secret("password"), form.is_set("confirm"));
        let _ = form.text(forgery::FIELD);
    }
    let _ = query(std::str::from_utf8(bytes).ok());
}

/// The cookie of a session, and where a form says it comes from.
pub fn origins(headers: &HeaderMap) {
    let _ = login::cookie(headers);
    let target = headers.get("target").and_then(|value| value.to_str().ok());
    let target = target.and_then(|text| text.parse::<Uri>().ok());
    let _ = forgery::check_origin(headers, &target.unwrap_or_default()).is_ok();
}
