//! `/api_docs`: the OpenAPI document, generated from the types, and a page to read it, from this binary alone.

mod rules;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{AllOf, Content, OpenApi, Ref, RefOr, ResponseBuilder, Schema};
use utoipa::{Modify, OpenApi as _, ToSchema};

use super::answer::{Answer, json, refusal, with_type};
use super::error::{ApiError, Code};
use super::{Api, backups, commit, status, v1, v2, wire};

use rules::Rules;

/// The page's own scripts and styles; the page sets styles on its elements, hence `unsafe-inline` for those.
pub(super) const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
);

const ROOT: &str = "/api_docs";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "ksnode",
        description = "A key share node of a threshold-wallet network. Every answer is JSON; success is \
            {\"success\":true,\"data\":…}, failure {\"success\":false,\"code\":…,\"msg\":…}.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "/")),
    paths(
        v1::register, v1::get, v1::check, v1::reshare,
        v2::get, v2::check, v2::register, v2::register_ed25519, v2::reshare, v2::reshare_register,
        commit::commit, status::status,
        backups::create, backups::history, backups::history_by_query, backups::restore,
    ),
    components(schemas(
        wire::Credentials,
        wire::CredentialsV1,
        wire::AuthTypeName,
        wire::FailureBody
    )),
    modifiers(&Common, &Rules)
)]
struct Document;

/// What all calls have in common, added in one place.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", bearer);
        for (path, item) in &mut document.paths.paths {
            if let Some(operation) = &mut item.post {
                let secured = operation.security.is_some();
                if let (true, Some(RefOr::T(body))) = (secured, &mut operation.request_body)
                    && let Some(RefOr::T(content)) = body.content.get_mut("application/json")
                {
                    with_credentials(content, path);
                }
                let mut refusals = vec![
                    ("400", "The request is not as described"),
                    ("413", "The body has more than 100 kB"),
                    ("415", "The body is not JSON"),
                    ("429", "Too many requests from this address"),
                    ("500", "Trouble inside the node or at the identity provider"),
                    (
                        "503",
                        "Too many writes are waiting, or the data is being replaced",
                    ),
                ];
                if secured {
                    refusals.push((
                        "401",
                        "No token, or one that does not verify; or the wallet is another user's",
                    ));
                    refusals.push(("410", "The commit-reveal session has expired"));
                }
                for (status, description) in refusals {
                    let content = Content::new(Some(Ref::from_schema_name("FailureBody")));
                    let response = ResponseBuilder::new()
                        .description(description)
                        .content("application/json", content)
                        .build();
                    operation
                        .responses
                        .responses
                        .entry(status.into())
                        .or_insert(RefOr::T(response));
                }
            }
        }
    }
}

/// A call with a token may carry [`wire::Credentials`] beside its own fields.
fn with_credentials(content: &mut Content, path: &str) {
    let credentials = if path.starts_with("/keyshare/v1") {
        wire::CredentialsV1::name()
    } else {
        wire::Credentials::name()
    };
    if let Some(own) = content.schema.take() {
        let mut both = AllOf::new();
        both.items.push(own);
        both.items
            .push(RefOr::Ref(Ref::from_schema_name(credentials)));
        content.schema = Some(RefOr::T(Schema::AllOf(both)));
    }
}

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(Document::openapi);

/// The document as it is served.
///
/// # Errors
/// When it cannot be written as JSON, which a test rules out.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    DOCUMENT.to_pretty_json()
}

/// `GET /api_docs/openapi.json`: the document, with the ways to log in that are configured here.
pub(super) fn document(api: &Api) -> Answer {
    let mut document = DOCUMENT.clone();
    let schemas = document.components.as_mut().map(|all| &mut all.schemas);
    if let Some(RefOr::T(Schema::Object(names))) =
        schemas.and_then(|schemas| schemas.get_mut(&*wire::AuthTypeName::name()))
    {
        let known = api.identities.names().into_iter();
        names.enum_values = Some(known.map(Into::into).collect());
    }
    json(StatusCode::OK, &document)
}

static PAGE: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> = LazyLock::new(|| {
    // Its validator is a service on the Internet.
    let config = utoipa_swagger_ui::Config::from("/api_docs/openapi.json").validator_url("none");
    Arc::new(config)
});

/// `GET /api_docs` and the page's files below it.
pub(super) fn page(path: &str) -> Answer {
    let file = path
        .strip_prefix(ROOT)
        .unwrap_or_default()
        .trim_start_matches('/');
    let file = if file.is_empty() { "index.html" } else { file };
    match utoipa_swagger_ui::serve(file, PAGE.clone()) {
        Ok(Some(served)) if file == "index.html" => {
            // Its links are relative, and the page is reached without a trailing slash too.
            let page = String::from_utf8_lossy(&served.bytes).replacen(
                "<head>",
                "<head><base href=\"/api_docs/\">",
                1,
            );
            with_type(
                StatusCode::OK,
                "text/html; charset=utf-8",
                Bytes::from(page),
            )
        }
        Ok(Some(served)) => {
            // Not copied: a client that asks for it on each of its streams and takes nothing would have a copy kept on each.
            let bytes = match served.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            let mut answer = with_type(StatusCode::OK, "application/octet-stream", bytes);
            if let Ok(media_type) = HeaderValue::from_str(&served.content_type) {
                answer
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, media_type);
            }
            answer
        }
        Ok(None) => refusal(&ApiError::with_status(
            StatusCode::NOT_FOUND,
            Code::InvalidRequest,
            "there is nothing at this path",
        )),
        Err(error) => {
            tracing::error!(%error, "the API's page could not be served");
            refusal(&ApiError::internal())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document is what others generate clients from: a change of it is to be seen in a review. To accept one, run
    /// the test with `KSNODE_GOLDEN=write`.
    #[test]
    fn the_document_is_the_golden_copy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/openapi.json");
        let mut document: serde_json::Value =
            serde_json::from_str(&openapi_json().unwrap()).unwrap();
        document["info"]["version"] = "VERSION".into();
        let document = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
        if std::env::var_os("KSNODE_GOLDEN").is_some_and(|value| value == "write") {
            std::fs::write(path, &document).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            document == golden,
            "the OpenAPI document differs from {path}"
        );
    }

    #[test]
    fn it_is_openapi_3_1() {
        assert!(openapi_json().unwrap().contains("\"openapi\": \"3.1.0\""));
    }

    #[test]
    fn the_page_and_its_files_are_here() {
        for path in [
            "/api_docs",
            "/api_docs/",
            "/api_docs/swagger-ui.css",
            "/api_docs/swagger-ui-bundle.js",
        ] {
            let answer = page(path);
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert!(!answer.body().is_empty(), "{path}");
        }
        assert_eq!(page("/api_docs/absent.js").status(), StatusCode::NOT_FOUND);
        assert_eq!(page("/api_docs/../secret").status(), StatusCode::NOT_FOUND);
    }
}
