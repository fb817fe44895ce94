//! Whether a form was sent by a page of ours.
//!
//! Two things are asked for, each of which would do alone: that the browser says so (`Sec-Fetch-Site`, or `Origin` from
//! browsers that do not know it), and the token of the session, which no other site can read. The form of the login has no
//! session yet and goes by the first. A client that says neither is no browser that could be led astray, and is refused all
//! the same: it can send `Origin`.

use http::{HeaderMap, Uri, header};
use subtle::ConstantTimeEq;
use url::Url;

use super::PageError;
use super::form::Form;
use super::session::Known;

/// The field of a form that carries the session's token.
pub(super) const FIELD: &str = "csrf";

const ELSEWHERE: &str = "This form was not sent by the node's own page, so nothing was done. If you sent it yourself, go back, \
     load the page again and repeat it; behind a proxy, have it pass the Host header on unchanged.";
const STALE: &str = "This form belongs to another session, so nothing was done. Go back, load the page again and repeat it.";

/// Whether the browser says that the request comes from a page of this origin.
pub(super) fn check_origin(headers: &HeaderMap, uri: &Uri) -> Result<(), PageError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let own = match (text("sec-fetch-site"), text(header::ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => is_own(origin, headers, uri),
        (None, None) => false,
    };
    own.then_some(()).ok_or(PageError::Forged(ELSEWHERE))
}

/// Whether the form carries its session's token.
pub(super) fn check_token(form: &Form, session: &Known) -> Result<(), PageError> {
    let given = form.text(FIELD).unwrap_or_default();
    let same = given.as_bytes().ct_eq(session.csrf.as_bytes());
    bool::from(same)
        .then_some(())
        .ok_or(PageError::Forged(STALE))
}

/// Whether the origin is the host that the request is for. The scheme is left out: a proxy may end TLS, and what came in
/// clear has been refused before.
fn is_own(origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    let Ok(origin) = Url::parse(origin) else {
        return false;
    };
    let host = uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| headers.get(header::HOST)?.to_str().ok());
    let own = host.and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    own.is_some_and(|own| own.origin().is_tuple() && own.origin() == origin.origin())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn checked(given: &[(&'static str, &'static str)], target: &str) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        check_origin(&headers, &target.parse().unwrap()).is_ok()
    }

    #[test]
    fn a_browser_says_where_a_form_comes_from() {
        for (site, own) in [
            ("same-origin", true),
            ("same-site", false),
            ("cross-site", false),
            ("none", false),
            ("", false),
        ] {
            // It is believed before the origin, which a page may have the browser leave out.
            let headers = [
                ("sec-fetch-site", site),
                ("host", "a.example"),
                ("origin", "https://a.example"),
            ];
            assert_eq!(checked(&headers, "/admin/login"), own, "{site}");
        }
    }

    #[test]
    fn the_origin_counts_where_that_is_not_said() {
        for (host, origin, own) in [
            ("a.example", "https://a.example", true),
            ("a.example:443", "https://a.example", true),
            ("A.example", "https://a.example", true),
            ("a.example:4201", "https://a.example:4201", true),
            ("[::1]:4201", "http://[::1]:4201", true),
            ("a.example:4201", "https://a.example", false),
            ("a.example", "https://b.example", false),
            ("a.example", "https://a.example.evil", false),
            ("a.example", "null", false),
            ("a.example", "", false),
        ] {
            let headers = [("host", host), ("origin", origin)];
            assert_eq!(checked(&headers, "/admin"), own, "{host} {origin}");
        }
        assert!(checked(
            &[("origin", "https://a.example")],
            "https://a.example/admin"
        ));
        assert!(!checked(&[("origin", "https://a.example")], "/admin"));
        assert!(!checked(&[("host", "a.example")], "/admin"));
    }
}
