//! The envelope of every answer (api.md, "Envelope").

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use super::error::{ApiError, Code};

/// An answer whose body is whole in memory, as all of ours are.
pub(super) type Answer = Response<Bytes>;

#[derive(Serialize)]
struct Success<T> {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

#[derive(Serialize)]
struct Failure<'a> {
    success: bool,
    code: Code,
    msg: &'a str,
}

/// `{"success":true}` and nothing else: for calls without a payload.
#[derive(Serialize)]
pub(super) enum Done {}

/// What a call may return.
pub(super) type CallResult<T> = Result<Option<T>, ApiError>;

/// The envelope around a call's result.
pub(super) fn envelope<T: Serialize>(result: CallResult<T>) -> Answer {
    match result {
        Ok(data) => json(
            StatusCode::OK,
            &Success {
                success: true,
                data,
            },
        ),
        Err(error) => refusal(&error),
    }
}

/// A refusal in its envelope.
pub(super) fn refusal(error: &ApiError) -> Answer {
    let failure = Failure {
        success: false,
        code: error.code,
        msg: &error.message,
    };
    let mut answer = json(error.status, &failure);
    if error.status == StatusCode::SERVICE_UNAVAILABLE {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// A JSON body outside the envelope.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_vec(body) {
        Ok(bytes) => with_type(status, "application/json; charset=utf-8", bytes.into()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            let fixed = br#"{"success":false,"code":"UNKNOWN_ERROR","msg":"no answer"}"#;
            with_type(
                StatusCode::INTERNAL_SERVER_ERROR,
                "application/json; charset=utf-8",
                Bytes::from_static(fixed),
            )
        }
    }
}

/// Any body of a known type.
pub(super) fn with_type(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
