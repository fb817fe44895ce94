//! Bodies: read within bounds, then parsed into types. What is wrong is named.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Body;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::sync::Semaphore;

use super::answer::{Answer, refusal};
use super::error::{ApiError, Code};
use super::object::Object;

/// Bytes of a body (api.md, "Limits and headers").
const BODY_BYTES: usize = 100_000;
/// How much more is read, and thrown away, so that a client that is still sending gets to see the answer.
const EXCESS_BYTES: usize = 1_000_000;
/// Up to here a body is read whatever else there is: no call needs as much.
const SMALL_BYTES: usize = 8 * 1024;
/// Larger ones that are read at once, in the whole process. Else clients that never end theirs could have [`BODY_BYTES`] kept on
/// each of thousands of connections, which is gigabytes. Who needs none of these places is not kept waiting by it.
static LARGE: Semaphore = Semaphore::const_new(500);
/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(15);

/// Reads a whole body.
///
/// # Errors
/// The refusal: 413 when it is too large, 408 when it does not come in time, 400 when it breaks off, 503 when too many
/// large ones are being read.
pub(super) async fn read<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES + EXCESS_BYTES) {
        return Err(closing(too_large()));
    }
    tokio::time::timeout(BODY_TIME, collect(body))
        .await
        .unwrap_or_else(|_| {
            Err(closing(ApiError::with_status(
                StatusCode::REQUEST_TIMEOUT,
                Code::InvalidRequest,
                "the body did not come within 15 seconds",
            )))
        })
}

async fn collect<B>(mut body: B) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes> + Send + Unpin,
{
    let mut whole = BytesMut::new();
    let mut length = 0_usize;
    let mut place = None;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(closing(ApiError::invalid_request("the body broke off")));
        };
        // Trailers carry nothing that a call knows.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length > BODY_BYTES + EXCESS_BYTES {
            return Err(closing(too_large()));
        }
        if length > SMALL_BYTES && place.is_none() {
            place = Some(LARGE.try_acquire().map_err(|_| closing(crowded()))?);
        }
        if length <= BODY_BYTES {
            if body.is_end_stream() && whole.is_empty() {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        }
    }
    if length > BODY_BYTES {
        return Err(too_large().into());
    }
    Ok(whole.freeze())
}

fn too_large() -> ApiError {
    ApiError::with_status(
        StatusCode::PAYLOAD_TOO_LARGE,
        Code::InvalidRequest,
        "the body has more than 100 kB",
    )
}

fn crowded() -> ApiError {
    ApiError::later("many large requests are being read; try again in a second")
}

fn closing(error: ApiError) -> Unread {
    Unread {
        error,
        to_the_end: false,
    }
}

/// A body that was not accepted.
pub(super) struct Unread {
    /// Why.
    pub(super) error: ApiError,
    to_the_end: bool,
}

/// A request of which no body is waited for.
impl From<ApiError> for Unread {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            to_the_end: true,
        }
    }
}

impl Unread {
    /// The API's answer.
    pub(super) fn answer(&self) -> Answer {
        let mut answer = refusal(&self.error);
        self.close(answer.headers_mut());
        answer
    }

    /// When the request was not read to its end, nothing more can be understood on its connection.
    pub(super) fn close(&self, headers: &mut HeaderMap) {
        if !self.to_the_end {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Parses a body, which is an object. An error names the field, never its value: the value may be a share.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Keeping track of the path costs as much as parsing; it is done when there is something to be named.
    match serde_json::from_slice::<Object<T>>(body) {
        Ok(parsed) => Ok(parsed.0),
        Err(_) => parse_and_name::<T>(body),
    }
}

fn parse_and_name<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let parsed: Object<T> = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refuse(&path, error.inner())
    })?;
    json.end().map_err(|error| refuse(".", &error))?;
    Ok(parsed.0)
}

fn refuse(path: &str, error: &serde_json::Error) -> ApiError {
    if error.classify() != Category::Data {
        return ApiError::invalid_request(format!(
            "the body is not valid JSON: line {}, column {}",
            error.line(),
            error.column()
        ));
    }
    let text = error.to_string();
    let message = if let Some(field) = quoted_after(&text, "missing field `") {
        format!("{} is required", join(path, field))
    } else if let Some(field) = quoted_after(&text, "duplicate field `") {
        format!("{} is there twice", join(path, field))
    } else {
        // The last one: before it may stand a value that was sent, with whatever words in it.
        let expected = text
            .rsplit_once(", expected ")
            .map_or("another type", |(_, rest)| {
                rest.split(" at line ").next().unwrap_or(rest)
            });
        let field = if path == "." { "the body" } else { path };
        format!("{field} must be {expected}")
    };
    ApiError::invalid_request(message)
}

fn quoted_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split('`').next()
}

fn join(path: &str, field: &str) -> String {
    // Of a duplicate, the path already ends in the field.
    if path == "." || path == field || path.ends_with(&format!(".{field}")) {
        return if path == "." {
            field.to_owned()
        } else {
            path.to_owned()
        };
    }
    format!("{path}.{field}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::wire::{RegisterV1, RegisterV2};

    fn message<T: DeserializeOwned>(body: &str) -> String {
        let error = parse::<T>(body.as_bytes()).err();
        error
            .map(|error| error.message.into_owned())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let v1 = message::<RegisterV1>;
        assert_eq!(v1("{}"), "public_key is required");
        assert_eq!(
            v1(r#"{"public_key":5,"share":""}"#),
            "public_key must be a string"
        );
        assert_eq!(
            v1(r#"{"public_key":"","share":["secret"]}"#),
            "share must be a string"
        );
        assert_eq!(v1("[]"), "the body must be an object");
        assert_eq!(v1(r#"["", "", ""]"#), "the body must be an object");
        let worded = r#"{"public_key":["x, expected it"],"share":""}"#;
        assert_eq!(v1(worded), "public_key must be a string");
        assert_eq!(v1("{"), "the body is not valid JSON: line 1, column 1");
        assert_eq!(v1(""), "the body is not valid JSON: line 1, column 0");
        assert_eq!(v1("{} x"), "public_key is required");
        let twice = r#"{"public_key":"","public_key":"","share":""}"#;
        assert_eq!(v1(twice), "public_key is there twice");

        let v2 = message::<RegisterV2>;
        assert_eq!(v2("{}"), "wallets is required");
        assert_eq!(v2(r#"{"wallets":null}"#), "wallets must be an object");
        let in_order = r#"{"wallets":{"secp256k1":["", ""]}}"#;
        assert_eq!(v2(in_order), "wallets.secp256k1 must be an object");
        let worded = r#"{"wallets":"x, expected this"}"#;
        assert_eq!(v2(worded), "wallets must be an object");
        let nested =
            r#"{"wallets":{"secp256k1":{"public_key":"","share":""},"ed25519":{"public_key":""}}}"#;
        assert_eq!(v2(nested), "wallets.ed25519.share is required");
        let typed = r#"{"wallets":{"secp256k1":{"public_key":{},"share":""}}}"#;
        assert_eq!(v2(typed), "wallets.secp256k1.public_key must be a string");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse::<RegisterV2>(&bytes).is_ok();
        }

        #[test]
        fn no_refusal_repeats_a_value(value in "[a-z]{24}") {
            let bodies = [
                format!(r#"{{"public_key":["{value}"],"share":{{"x":"{value}"}}}}"#),
                format!(r#"{{"public_key":"","share":true,"y":"{value}""#),
                format!(r#""{value}""#),
            ];
            for body in bodies {
                prop_assert!(!message::<RegisterV1>(&body).contains(&value));
            }
        }
    }
}
