//! Requests that the node makes: identity providers, the network's telemetry receiver.
//!
//! One client with one set of rules for all of them, so that no caller can forget one: the connection
//! and the whole exchange are timed, an answer's body is bounded, redirects are not followed (a token or
//! a password goes where the operator said and nowhere else), and a proxy from the environment is not used
//! (what decides where secrets go is in the configuration or nowhere). Addresses are [`Endpoint`]s: `https`
//! alone, except that this machine's own loopback may be spoken to in clear, which is what tests and side-cars need.
//!
//! TLS is rustls with the program's one [`provider`]. Roots are Mozilla's, built in, so that a minimal container
//! without a certificate store works the same; the price is that a private authority cannot be added.

mod endpoint;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::{Client, Response, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::crypto::provider;
pub use endpoint::Endpoint;

/// Connections to a host that are kept for the next request.
const IDLE_CONNECTIONS_PER_HOST: usize = 16;

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the connection stands, TLS included. Default 2 s.
    pub connect: Duration,
    /// From the start until the last byte of the answer. Default 4 s.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            total: Duration::from_secs(4),
        }
    }
}

/// What an address answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// The answer's status.
    pub status: StatusCode,
    /// When the answer was made, in whole seconds of the other side's clock, where it says so.
    pub date: Option<Timestamp>,
}

/// Makes requests. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
}

/// Why a request brought no usable answer. The texts name the host and path, never a query, a header or
/// anything that was sent or received.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The address may not be used.
    #[error("the address cannot be used: {reason}")]
    Address {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The client could not be built.
    #[error("cannot set up outbound connections: {reason}")]
    Setup {
        /// What the TLS or HTTP library said.
        reason: String,
    },
    /// The request could not be formed: the body cannot be written as JSON, or a token holds bytes no header can carry.
    #[error("the request to {endpoint} cannot be formed: {reason}")]
    Request {
        /// Where it was meant to go.
        endpoint: Endpoint,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No connection, or it broke.
    #[error("{endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// Where the request went.
        endpoint: Endpoint,
        /// What the network said.
        reason: String,
    },
    /// No complete answer in time.
    #[error("{endpoint} did not answer in time")]
    TimedOut {
        /// Where the request went.
        endpoint: Endpoint,
    },
    /// An answer, but not a success; a redirect too is one of these.
    #[error("{endpoint} answered with status {status}")]
    Status {
        /// Where the request went.
        endpoint: Endpoint,
        /// What it answered.
        status: StatusCode,
    },
    /// The answer's body is larger than the caller accepts.
    #[error("{endpoint} answered with more than {limit} bytes")]
    TooLarge {
        /// Where the request went.
        endpoint: Endpoint,
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The answer's body is not the JSON that the caller expects.
    #[error("{endpoint} answered with something else than the expected JSON")]
    NotExpectedJson {
        /// Where the request went.
        endpoint: Endpoint,
    },
}

impl Outbound {
    /// A client with these timeouts.
    ///
    /// # Errors
    /// [`OutboundError::Setup`] when the TLS or HTTP library refuses its settings.
    pub fn new(timeouts: Timeouts) -> Result<Self, OutboundError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config()?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
            .user_agent(concat!("ksnode/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| OutboundError::Setup {
                reason: causes(&error.without_url()),
            })?;
        Ok(Self { client })
    }

    /// The body of a successful answer, at most `limit` bytes. `bearer` is sent as the `Authorization`.
    ///
    /// # Errors
    /// Every variant of [`OutboundError`] except `Address`, `Setup` and `NotExpectedJson`.
    pub async fn get_bytes(
        &self,
        endpoint: &Endpoint,
        bearer: Option<&str>,
        limit: usize,
    ) -> Result<Vec<u8>, OutboundError> {
        let mut request = self
            .client
            .get(endpoint.url().clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, bearer_header(endpoint, token)?);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| failed(endpoint, error))?;
        body(endpoint, success(endpoint, answer)?, limit).await
    }

    /// The same, read as JSON.
    ///
    /// # Errors
    /// Those of [`Outbound::get_bytes`], and [`OutboundError::NotExpectedJson`].
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        bearer: Option<&str>,
        limit: usize,
    ) -> Result<T, OutboundError> {
        let bytes = self.get_bytes(endpoint, bearer, limit).await?;
        serde_json::from_slice(&bytes).map_err(|_| OutboundError::NotExpectedJson {
            endpoint: endpoint.clone(),
        })
    }

    /// Asks whether anybody answers there: the status, whatever it is, and the moment that the answer bears (RFC 9110,
    /// section 6.6.1). Its body is not read.
    ///
    /// # Errors
    /// [`OutboundError::Unreachable`], [`OutboundError::TimedOut`].
    pub async fn probe(&self, endpoint: &Endpoint) -> Result<Probed, OutboundError> {
        let sent = self.client.get(endpoint.url().clone()).send().await;
        let answer = sent.map_err(|error| failed(endpoint, error))?;
        let date = answer
            .headers()
            .get(DATE)
            .and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        Ok(Probed {
            status: answer.status(),
            date: date.map(Timestamp::from_system_time),
        })
    }

    /// Posts `content` as JSON with these headers; the answer's body is not read.
    ///
    /// # Errors
    /// Every variant of [`OutboundError`] except `Address`, `Setup`, `TooLarge` and `NotExpectedJson`.
    pub async fn post_json<T: Serialize + ?Sized>(
        &self,
        endpoint: &Endpoint,
        headers: HeaderMap,
        content: &T,
    ) -> Result<(), OutboundError> {
        let bytes = serde_json::to_vec(content).map_err(|_| OutboundError::Request {
            endpoint: endpoint.clone(),
            reason: "its content cannot be written as JSON",
        })?;
        let answer = self
            .client
            .post(endpoint.url().clone())
            .headers(headers)
            .header(
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )
            .body(bytes)
            .send()
            .await
            .map_err(|error| failed(endpoint, error))?;
        success(endpoint, answer).map(|_| ())
    }
}

fn tls_config() -> Result<ClientConfig, OutboundError> {
    let roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::Setup {
            reason: error.to_string(),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn bearer_header(endpoint: &Endpoint, token: &str) -> Result<HeaderValue, OutboundError> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| OutboundError::Request {
        endpoint: endpoint.clone(),
        reason: "the token holds characters that no header can carry",
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn success(endpoint: &Endpoint, answer: Response) -> Result<Response, OutboundError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(OutboundError::Status {
        endpoint: endpoint.clone(),
        status: answer.status(),
    })
}

/// Reads piece by piece: the length a server announces is a hint that saves work, not a promise.
async fn body(
    endpoint: &Endpoint,
    mut answer: Response,
    limit: usize,
) -> Result<Vec<u8>, OutboundError> {
    let too_large = || OutboundError::TooLarge {
        endpoint: endpoint.clone(),
        limit,
    };
    let announced = answer.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |length| length > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| failed(endpoint, error))?
    {
        if bytes.len().saturating_add(piece.len()) > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn failed(endpoint: &Endpoint, error: reqwest::Error) -> OutboundError {
    let endpoint = endpoint.clone();
    if error.is_timeout() {
        return OutboundError::TimedOut { endpoint };
    }
    OutboundError::Unreachable {
        endpoint,
        reason: causes(&error.without_url()),
    }
}

/// The error and what caused it, on one line: reqwest's own text says only that sending failed.
fn causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
