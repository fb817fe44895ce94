//! What concerns every request, whatever its route.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Body;
use ipnet::IpNet;
use tracing::Instrument;
use warp::Reply;

use super::answer::{Answer, refusal};
use super::client_address::client_address;
use super::error::{ApiError, Code};
use super::malformed::serialized;
use super::metrics::HttpMetrics;
use super::rate_limit::{RateLimit, Standing};
use super::routes::{Endpoint, is_for_administrators, routes};
use super::{Current, caller, cors, docs, request, way};
use crate::admin::{Site, Visitor};
use crate::clock::SharedClock;
use crate::crypto::{CryptoError, random};
use crate::desk::Connection;
use crate::service::logging::REQUESTS;

/// An answer on its way to the client.
pub type FinalAnswer = warp::reply::Response;

type Routed = Pin<Box<dyn Future<Output = FinalAnswer> + Send>>;

/// How the front treats requests.
#[derive(Debug)]
pub struct FrontOptions {
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The limit for each address; absent, there is none.
    pub rate_limit: Option<RateLimit>,
    /// The limit on the calls for which the administrator's password is tried, which count for both.
    pub admin_rate_limit: Option<RateLimit>,
    /// Whether clients come over TLS: then they are told to come so for ever (RFC 6797).
    pub strict_transport: bool,
}

/// The route of everything of the admin page in metrics.
const ADMIN: &str = "/admin";

/// The first station of every request. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    shared: Arc<Shared>,
    /// Whether there are the calls of the API.
    calls: bool,
    /// The admin page: below its path beside the calls, and everywhere without them.
    site: Option<Site>,
}

struct Shared {
    routes: Box<dyn Fn(Request<Full<Bytes>>) -> Routed + Send + Sync>,
    options: FrontOptions,
    metrics: HttpMetrics,
    clock: SharedClock,
    /// Makes request ids of this process different from those of its other lives.
    life: u32,
    requests: AtomicU64,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front")
            .field("options", &self.shared.options)
            .field("calls", &self.calls)
            .field("site", &self.site.is_some())
            .finish_non_exhaustive()
    }
}

impl Front {
    /// The front before the calls.
    ///
    /// # Errors
    /// [`CryptoError::Random`].
    pub fn new(
        current: Current,
        options: FrontOptions,
        metrics: HttpMetrics,
        clock: SharedClock,
    ) -> Result<Self, CryptoError> {
        let service = warp::service(routes(current));
        let routes = move |request| -> Routed {
            let answer = tower_service::Service::call(&mut service.clone(), request);
            Box::pin(async move {
                match answer.await {
                    Ok(answer) => answer,
                    Err(never) => match never {},
                }
            })
        };
        Ok(Self {
            shared: Arc::new(Shared {
                routes: Box::new(routes),
                options,
                metrics,
                clock,
                life: u32::from_be_bytes(random()?),
                requests: AtomicU64::new(0),
            }),
            calls: true,
            site: None,
        })
    }

    /// The same front with the admin page beside the calls.
    #[must_use]
    pub fn beside(self, site: Site) -> Self {
        Self {
            site: Some(site),
            ..self
        }
    }

    /// The same front with the admin page and nothing else, for a listener of its own.
    #[must_use]
    pub fn only(&self, site: Site) -> Self {
        Self {
            shared: self.shared.clone(),
            calls: false,
            site: Some(site),
        }
    }

    /// Counts a connection as open until what is returned is dropped.
    pub(super) fn connected(&self) -> Connection {
        self.shared.metrics.connected()
    }

    /// Answers a request that came over a connection from `peer`.
    pub async fn answer<B>(&self, peer: SocketAddr, request: Request<B>) -> FinalAnswer
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let shared = &self.shared;
        let began = shared.clock.monotonic();
        let id = shared.next_id();
        let options = &shared.options;
        let address = client_address(peer.ip(), request.headers(), &options.trusted_proxies);
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let span = tracing::info_span!("request", id);
        let site = self.site.as_ref();
        let (mut answer, route) = match site.filter(|_| !self.calls || Site::is_at(&path)) {
            Some(site) => {
                let way = way::of(peer.ip(), request.headers(), options);
                let visitor = Visitor { address, way };
                let answer = shared
                    .visited(site, visitor, request)
                    .instrument(span)
                    .await;
                (answer, ADMIN)
            }
            None => {
                let mut answer = shared.limited(address, request).instrument(span).await;
                let endpoint = answer.extensions_mut().remove::<Endpoint>();
                shared.finish(answer.headers_mut(), endpoint);
                (answer, endpoint.map_or("none", Endpoint::path))
            }
        };
        shared.sign(answer.headers_mut(), &id);
        let took = shared.clock.monotonic().saturating_sub(began);
        shared.metrics.observe(route, answer.status(), took);
        tracing::info!(
            target: REQUESTS,
            %method,
            path,
            status = answer.status().as_u16(),
            ms = milliseconds(took),
            %address,
            id,
        );
        if method == Method::HEAD {
            without_body(answer)
        } else {
            answer
        }
    }

    /// The answer to bytes from `peer` that are no HTTP request, of which hyper says `status`.
    pub(super) fn malformed(&self, peer: SocketAddr, status: StatusCode) -> Answer {
        let error = if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE {
            request::headers_too_large()
        } else {
            ApiError::with_status(status, Code::InvalidRequest, "this is no HTTP request")
        };
        self.refuse_unread(peer, &error, "malformed")
    }

    /// The whole answer, as bytes of HTTP/1.1, to a client that speaks in clear to a port that speaks TLS.
    pub fn cleartext(&self, peer: SocketAddr) -> Bytes {
        let said = "this port speaks TLS: write https:// instead of http://";
        let error = ApiError::invalid_request(said);
        let mut answer = self.refuse_unread(peer, &error, "plain HTTP to the port of https");
        // What is said in clear binds nobody (RFC 6797, 7.2).
        answer
            .headers_mut()
            .remove(header::STRICT_TRANSPORT_SECURITY);
        serialized(&answer)
    }

    /// The answer to a request that is not looked at. It counts for the rate limit, as any other.
    fn refuse_unread(&self, peer: SocketAddr, error: &ApiError, what: &'static str) -> Answer {
        let shared = &self.shared;
        let id = shared.next_id();
        let address = peer.ip().to_canonical();
        let standing = shared.count(address, false);
        let limited = standing.as_ref().and_then(Standing::refusal);
        let mut answer = refusal(limited.as_ref().unwrap_or(error));
        if let Some(standing) = standing {
            standing.write(answer.headers_mut());
        }
        shared.finish(answer.headers_mut(), None);
        shared.sign(answer.headers_mut(), &id);
        shared
            .metrics
            .observe("none", answer.status(), Duration::ZERO);
        tracing::info!(target: REQUESTS, status = answer.status().as_u16(), %address, id, "{what}");
        answer
    }
}

impl Shared {
    fn next_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:08x}-{number:x}", self.life)
    }

    async fn limited<B>(&self, address: IpAddr, request: Request<B>) -> FinalAnswer
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        if cors::is_preflight(request.method()) {
            return cors::preflight(request.headers()).into_response();
        }
        let standing = self.count(address, is_for_administrators(request.uri().path()));
        let mut answer = match standing.as_ref().and_then(Standing::refusal) {
            Some(limited) => refusal(&limited).into_response(),
            None => self.routed(address, request).await,
        };
        if let Some(standing) = standing {
            standing.write(answer.headers_mut());
        }
        answer
    }

    /// Counts a request for the limits; for both when the administrator's password can be tried by it. The standing is the
    /// one to be told: of two limits the narrower, unless the wider one is what refuses.
    fn count(&self, address: IpAddr, tries_password: bool) -> Option<Standing> {
        let now = self.clock.monotonic();
        let count = |limit: &RateLimit| limit.count(address, now);
        let general = self.options.rate_limit.as_ref().and_then(count);
        if general.as_ref().is_some_and(|standing| !standing.allowed) {
            return general;
        }
        let narrow = self.options.admin_rate_limit.as_ref();
        let narrow = narrow.filter(|_| tries_password);
        narrow.and_then(count).or(general)
    }

    /// What the admin page answers. Who is logged in is no stranger: his requests count where a password is tried, and
    /// nowhere else.
    async fn visited<B>(&self, site: &Site, visitor: Visitor, request: Request<B>) -> FinalAnswer
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let path = request.uri().path().to_owned();
        let tries = Site::tries_password(request.method(), &path);
        let counted = tries || !site.knows(request.headers());
        let standing = if counted {
            self.count(visitor.address, tries)
        } else {
            None
        };
        let mut answer = match standing.as_ref().and_then(Standing::refusal) {
            Some(limited) => Site::refusal(&path, limited.status, &limited.message),
            None => match request::whole(request).await {
                Ok(request) => site.answer(visitor, request).await,
                Err(unread) => {
                    let mut answer =
                        Site::refusal(&path, unread.error.status, &unread.error.message);
                    unread.close(answer.headers_mut());
                    answer
                }
            },
        };
        if let Some(standing) = standing {
            standing.write(answer.headers_mut());
        }
        answer
    }

    async fn routed<B>(&self, address: IpAddr, request: Request<B>) -> FinalAnswer
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        match request::whole(request).await {
            Ok(mut request) => {
                request.extensions_mut().insert(caller::From(address));
                (self.routes)(request.map(Full::new)).await
            }
            Err(unread) => unread.answer().into_response(),
        }
    }

    /// Headers of every answer of the API.
    fn finish(&self, headers: &mut HeaderMap, endpoint: Option<Endpoint>) {
        let policy = if endpoint == Some(Endpoint::Docs) {
            docs::CONTENT_SECURITY_POLICY
        } else {
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")
        };
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        if endpoint != Some(Endpoint::Docs) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        cors::allow(headers);
    }

    /// Headers of every answer at all.
    fn sign(&self, headers: &mut HeaderMap, id: &str) {
        if self.options.strict_transport {
            let year = HeaderValue::from_static("max-age=31536000");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
        }
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert("x-request-id", id);
        }
    }
}

/// To the microsecond, which is what can be believed of it.
fn milliseconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// The same answer as a HEAD request wants it: the length of the body, and none.
fn without_body(answer: FinalAnswer) -> FinalAnswer {
    let length = answer.body().size_hint().exact();
    let (mut head, _) = answer.into_parts();
    if let Some(length) = length {
        head.headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Bytes::new()).into_response()
}
