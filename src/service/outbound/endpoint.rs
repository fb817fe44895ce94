//! An address that requests may go to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::Url;

use super::OutboundError;

/// An `https` address, or an `http` address of this machine's own loopback (an address in 127.0.0.0/8,
/// `[::1]`, or `localhost`, which RFC 6761 section 6.3 keeps for it). It carries neither user nor
/// password. `Display` and `Debug` leave the query out, which may hold a secret. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Arc<Url>);

impl Endpoint {
    /// Whether requests to it are encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = OutboundError;

    /// # Errors
    /// [`OutboundError::Address`], which does not repeat the text.
    fn from_str(text: &str) -> Result<Self, OutboundError> {
        let refused = |reason| Err(OutboundError::Address { reason });
        let Ok(url) = Url::parse(text) else {
            return refused("it is not a URL");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refused("it carries a user name or password");
        }
        match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => Ok(Self(Arc::new(url))),
            ("http", Some(host)) if is_loopback(host) => Ok(Self(Arc::new(url))),
            ("http", _) => refused("it is http; only https is used outside this machine"),
            _ => refused("it is not an https URL"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or(""))?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_anywhere_and_http_to_loopback_are_accepted() {
        for text in [
            "https://example.com/keys",
            "https://example.com:8443",
            "http://127.0.0.1:8080/keys",
            "http://127.9.9.9/",
            "http://[::1]:80/keys",
            "http://localhost:1/",
        ] {
            assert!(text.parse::<Endpoint>().is_ok(), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "example.com",
            "http://example.com/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "http://[::2]/",
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "https://user@example.com/",
            "https://:secret@example.com/",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(matches!(error, OutboundError::Address { .. }), "{text}");
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        let endpoint: Endpoint = "https://example.com:8443/a/b?key=hidden#part"
            .parse()
            .unwrap();
        assert_eq!(endpoint.to_string(), "https://example.com:8443/a/b");
        assert_eq!(
            format!("{endpoint:?}"),
            "Endpoint(https://example.com:8443/a/b)"
        );
    }
}
