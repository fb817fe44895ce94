//! The listener in clear that sends everybody to https.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Request, StatusCode, header};
use warp::Reply;

use super::FinalAnswer;
use super::answer::with_type;
use crate::config::is_host;

const TEXT: &str = "text/plain; charset=utf-8";
/// The ports that go without saying in http and https.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// Where clients are sent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Redirect {
    domains: Arc<[String]>,
    port: u16,
}

impl Redirect {
    /// To the host that a client asks for, which must be one of `domains` when there are any. A client that came to
    /// port 80 is sent to port 443, whatever this machine's own ports are behind a firewall; one that came to another port
    /// is told `port`.
    pub fn new(domains: &[String], port: u16) -> Self {
        Self {
            domains: domains.into(),
            port,
        }
    }

    /// The answer to a request: 308 with the same path and query, so that method and body are kept (RFC 9110, 15.4.9).
    pub fn answer<B>(&self, request: &Request<B>) -> FinalAnswer {
        let mut answer = match self.location(request) {
            Ok(location) => {
                let mut answer = text(StatusCode::PERMANENT_REDIRECT, "use https\n");
                answer.headers_mut().insert(header::LOCATION, location);
                answer
            }
            Err((status, said)) => text(status, said),
        };
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
        answer
    }

    fn location<B>(&self, request: &Request<B>) -> Result<HeaderValue, (StatusCode, &'static str)> {
        const NO_HOST: (StatusCode, &str) =
            (StatusCode::BAD_REQUEST, "the request names no host\n");
        // A target with a host counts more than the header (RFC 9112, 3.2.2).
        let authority = match request.uri().authority() {
            Some(authority) => authority.clone(),
            None => {
                let header = request.headers().get(header::HOST).ok_or(NO_HOST)?;
                Authority::try_from(header.as_bytes()).map_err(|_| NO_HOST)?
            }
        };
        let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&host);
        if authority.as_str().contains('@') || !is_host(bare) {
            return Err(NO_HOST);
        }
        if !self.domains.is_empty() && !self.domains.iter().any(|domain| domain == bare) {
            let said = "this node does not go by that name\n";
            return Err((StatusCode::MISDIRECTED_REQUEST, said));
        }
        let elsewhere = authority.port_u16().is_some_and(|port| port != HTTP_PORT);
        let port = if elsewhere && self.port != HTTPS_PORT {
            format!(":{}", self.port)
        } else {
            String::new()
        };
        let path = request.uri().path_and_query();
        let path = path.map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path } else { "/" };
        HeaderValue::from_str(&format!("https://{host}{port}{path}")).map_err(|_| NO_HOST)
    }
}

fn text(status: StatusCode, said: &'static str) -> FinalAnswer {
    with_type(status, TEXT, Bytes::from_static(said.as_bytes())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(redirect: &Redirect, host: Option<&str>, target: &str) -> (u16, String) {
        let mut request = Request::builder().uri(target);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        let answer = redirect.answer(&request.body(()).unwrap());
        let location = answer.headers().get(header::LOCATION);
        let location = location.map_or("", |location| location.to_str().unwrap());
        (answer.status().as_u16(), location.to_owned())
    }

    #[test]
    fn everything_is_sent_to_https() {
        let any = Redirect::new(&[], 4201);
        for (host, target, location) in [
            ("node.example.org", "/", "https://node.example.org/"),
            (
                "NODE.example.org:80",
                "/a?b=c",
                "https://node.example.org/a?b=c",
            ),
            (
                "node.example.org.",
                "//evil.example/",
                "https://node.example.org//evil.example/",
            ),
            ("127.0.0.1:8080", "/", "https://127.0.0.1:4201/"),
            ("[::1]:8080", "/", "https://[::1]:4201/"),
            (
                "ignored.example",
                "http://node.example.org/x",
                "https://node.example.org/x",
            ),
        ] {
            assert_eq!(asked(&any, Some(host), target), (308, location.to_owned()));
        }
        let standard = Redirect::new(&[], 443);
        let (_, location) = asked(&standard, Some("a.example:8080"), "/");
        assert_eq!(location, "https://a.example/");
    }

    #[test]
    fn no_other_name_is_answered_to_and_no_nonsense() {
        let own = Redirect::new(&["node.example.org".to_owned()], 443);
        assert_eq!(asked(&own, Some("node.example.org"), "/").0, 308);
        assert_eq!(asked(&own, Some("evil.example"), "/"), (421, String::new()));
        let any = Redirect::new(&[], 443);
        for host in [
            None,
            Some(""),
            Some("a@b.example"),
            Some("a b"),
            Some("a_b/c"),
            Some("%61.example"),
        ] {
            assert_eq!(asked(&any, host, "/"), (400, String::new()), "{host:?}");
        }
    }
}
