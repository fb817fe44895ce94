//! Which path is which call.

use std::convert::Infallible;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use super::answer::{Answer, envelope, refusal};
use super::caller::{Call, From};
use super::error::{ApiError, Code};
use super::{Api, Current, backups, commit, docs, status, v1, v2};

/// Every call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    GetV2,
    CheckV2,
    RegisterV2,
    RegisterEd25519V2,
    ReshareV2,
    ReshareRegisterV2,
    CommitV2,
    GetV1,
    CheckV1,
    RegisterV1,
    ReshareV1,
    Liveness,
    Status,
    Commit,
    Backups,
    CreateBackup,
    BackupHistory,
    Restore,
    OpenApi,
    Docs,
}

impl Endpoint {
    /// In the order in which paths are compared: the frequent ones first.
    const ALL: [Self; 20] = [
        Self::GetV2,
        Self::CheckV2,
        Self::RegisterV2,
        Self::RegisterEd25519V2,
        Self::ReshareV2,
        Self::ReshareRegisterV2,
        Self::CommitV2,
        Self::GetV1,
        Self::CheckV1,
        Self::RegisterV1,
        Self::ReshareV1,
        Self::Liveness,
        Self::Status,
        Self::Commit,
        Self::Backups,
        Self::CreateBackup,
        Self::BackupHistory,
        Self::Restore,
        Self::OpenApi,
        Self::Docs,
    ];

    /// Its path without a trailing slash: also its name in metrics.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::GetV2 => "/keyshare/v2",
            Self::CheckV2 => "/keyshare/v2/check",
            Self::RegisterV2 => "/keyshare/v2/register",
            Self::RegisterEd25519V2 => "/keyshare/v2/register/ed25519",
            Self::ReshareV2 => "/keyshare/v2/reshare",
            Self::ReshareRegisterV2 => "/keyshare/v2/reshare/register",
            Self::CommitV2 => "/keyshare/v2/commit",
            Self::GetV1 => "/keyshare/v1",
            Self::CheckV1 => "/keyshare/v1/check",
            Self::RegisterV1 => "/keyshare/v1/register",
            Self::ReshareV1 => "/keyshare/v1/reshare",
            Self::Liveness => "/",
            Self::Status => "/status",
            Self::Commit => "/commit-reveal/v2/commit",
            Self::Backups => "/pg_dump/v1",
            Self::CreateBackup => "/pg_dump/v1/backup",
            Self::BackupHistory => "/pg_dump/v1/get_backup_history",
            Self::Restore => "/pg_dump/v1/restore",
            Self::OpenApi => "/api_docs/openapi.json",
            Self::Docs => "/api_docs",
        }
    }

    /// The methods that it answers to, as `Allow` lists them. HEAD comes as GET, and OPTIONS does not come.
    fn methods(self) -> &'static str {
        match self {
            Self::Liveness | Self::Status | Self::OpenApi | Self::Docs => "GET, HEAD, OPTIONS",
            Self::Backups => "GET, HEAD, POST, OPTIONS",
            _ => "POST, OPTIONS",
        }
    }

    /// What answers at a path, with and without a trailing slash. The pages of the documentation lie below theirs.
    ///
    /// Filters for each path would be tried one after another, and every one of them is a future of its own.
    fn at(path: &str) -> Option<Self> {
        let whole = path
            .strip_suffix('/')
            .filter(|rest| rest.len() > 1)
            .unwrap_or(path);
        let below = |endpoint: &Self| {
            let rest = path.strip_prefix(endpoint.path());
            *endpoint == Self::Docs && rest.is_some_and(|rest| rest.starts_with('/'))
        };
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == whole || below(endpoint))
    }
}

/// Everything the API's listener answers. Never rejects.
pub(super) fn routes(
    current: Current,
) -> impl Filter<Extract = (Answer,), Error = Infallible> + Clone + Send + Sync + 'static {
    warp::path::full()
        .and_then(async |path: FullPath| {
            let endpoint = Endpoint::at(path.as_str()).ok_or_else(warp::reject::not_found)?;
            Ok::<_, Rejection>((endpoint, path))
        })
        .and(warp::method())
        .and(optional_header(header::AUTHORIZATION.as_str()))
        .and(optional_header(header::CONTENT_TYPE.as_str()))
        .and(query())
        .and(address())
        .and(warp::body::bytes())
        .then(
            move |(endpoint, path): (Endpoint, FullPath),
                  method,
                  authorization,
                  media_type: Option<HeaderValue>,
                  query,
                  address,
                  body| {
                let api = current.get();
                let call = Call {
                    authorization,
                    query,
                    body,
                    address,
                };
                async move {
                    let refused = refuse_method(endpoint, &method)
                        .or_else(|| refuse_media_type(media_type.as_ref(), &call.body));
                    let mut answer = match refused {
                        Some(answer) => answer,
                        None => answer(&api, endpoint, &method, &call, &path).await,
                    };
                    answer.extensions_mut().insert(endpoint);
                    answer
                }
            },
        )
        .recover(not_found)
        .unify()
}

async fn answer(
    api: &Api,
    endpoint: Endpoint,
    method: &Method,
    call: &Call,
    path: &FullPath,
) -> Answer {
    match endpoint {
        Endpoint::GetV2 => envelope(v2::get(api, call).await),
        Endpoint::CheckV2 => envelope(v2::check(api, call).await),
        Endpoint::RegisterV2 => envelope(v2::register(api, call).await),
        Endpoint::RegisterEd25519V2 => envelope(v2::register_ed25519(api, call).await),
        Endpoint::ReshareV2 => envelope(v2::reshare(api, call).await),
        Endpoint::ReshareRegisterV2 => envelope(v2::reshare_register(api, call).await),
        Endpoint::CommitV2 | Endpoint::Commit => envelope(commit::commit(api, call).await),
        Endpoint::GetV1 => envelope(v1::get(api, call).await),
        Endpoint::CheckV1 => envelope(v1::check(api, call).await),
        Endpoint::RegisterV1 => envelope(v1::register(api, call).await),
        Endpoint::ReshareV1 => envelope(v1::reshare(api, call).await),
        Endpoint::Liveness => status::liveness(),
        Endpoint::Status => status::status(api).await,
        Endpoint::Backups if *method == Method::GET => {
            envelope(backups::history_by_query(api, call).await)
        }
        Endpoint::Backups | Endpoint::CreateBackup => envelope(backups::create(api, call).await),
        Endpoint::BackupHistory => envelope(backups::history(api, call).await),
        Endpoint::Restore => envelope(backups::restore(api, call).await),
        Endpoint::OpenApi => docs::document(api),
        Endpoint::Docs => docs::page(path.as_str()),
    }
}

/// Where the request comes from. The front always says so.
fn address() -> impl Filter<Extract = (IpAddr,), Error = Rejection> + Copy {
    warp::ext::get::<From>().map(|From(address)| address)
}

fn refuse_method(endpoint: Endpoint, method: &Method) -> Option<Answer> {
    let allow = endpoint.methods();
    if allow.split(", ").any(|allowed| allowed == method.as_str()) {
        return None;
    }
    let mut answer = refusal(&ApiError::with_status(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::InvalidRequest,
        format!("{} answers {allow}", endpoint.path()),
    ));
    answer
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    Some(answer)
}

/// A body is JSON. One that does not say what it is is taken for that.
fn refuse_media_type(media_type: Option<&HeaderValue>, body: &Bytes) -> Option<Answer> {
    let essence = media_type?
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let json = essence.trim().eq_ignore_ascii_case("application/json");
    (!json && !body.is_empty()).then(|| {
        refusal(&ApiError::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::InvalidRequest,
            "Content-Type must be application/json",
        ))
    })
}

/// Whether the administrator's password can be tried at `path`: everything below the backup calls' first segment.
pub(super) fn is_for_administrators(path: &str) -> bool {
    path.split('/').nth(1) == Some("pg_dump")
}

/// What follows the question mark; empty when there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// The value as it came: a token may hold more than visible ASCII.
fn optional_header(
    name: &'static str,
) -> impl Filter<Extract = (Option<HeaderValue>,), Error = Infallible> + Clone {
    warp::header::value(name)
        .map(Some)
        .or(warp::any().map(|| None))
        .unify()
}

/// What is left when no path matched. Nothing else of ours rejects; should warp do so all the same, it is trouble
/// inside the node and not a "not found".
async fn not_found(rejection: Rejection) -> Result<Answer, Infallible> {
    let error = if rejection.is_not_found() {
        ApiError::with_status(
            StatusCode::NOT_FOUND,
            Code::InvalidRequest,
            "there is nothing at this path; GET /api_docs lists what there is",
        )
    } else {
        tracing::error!(
            ?rejection,
            "a request was rejected before it reached its call"
        );
        ApiError::internal()
    };
    Ok(refusal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_with_and_without_a_trailing_slash() {
        for endpoint in Endpoint::ALL {
            let path = endpoint.path();
            assert_eq!(Endpoint::at(path), Some(endpoint));
            let slash = if path == "/" { None } else { Some(endpoint) };
            assert_eq!(Endpoint::at(&format!("{path}/")), slash);
        }
        assert_eq!(Endpoint::at("/api_docs/index.css"), Some(Endpoint::Docs));
        for nothing in [
            "",
            "/keyshare",
            "/keyshare/v2//",
            "/api_docsx",
            "/STATUS",
            "status",
        ] {
            assert_eq!(Endpoint::at(nothing), None, "{nothing}");
        }
    }
}
