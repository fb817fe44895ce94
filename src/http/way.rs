//! Whether others can listen to a request.

use std::net::IpAddr;

use http::{HeaderMap, header};

use super::client_address::is_in;
use super::front::FrontOptions;
use crate::admin::Way;

/// What a proxy puts on, trusted or not.
const PROXIED: [&str; 5] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-real-ip",
    "forwarded",
    "via",
];

/// How a request from `peer` came.
///
/// In clear it is trusted in two cases alone. A trusted proxy says that it came to the proxy over TLS; it says so of each
/// proxy on the way, or it does not count. Or it never left this machine: it comes from it, no proxy has put anything on
/// it, and it is addressed to it. (A proxy on this machine that puts on nothing at all, and addresses it to 127.0.0.1, cannot
/// be told from a browser.)
pub(super) fn of(peer: IpAddr, headers: &HeaderMap, options: &FrontOptions) -> Way {
    let peer = peer.to_canonical();
    if options.strict_transport {
        return Way::Encrypted;
    }
    if is_in(peer, &options.trusted_proxies) && says_https(headers) {
        return Way::Encrypted;
    }
    let proxied = PROXIED.iter().any(|name| headers.contains_key(*name));
    if peer.is_loopback() && !proxied && is_for_loopback(headers) {
        Way::Loopback
    } else {
        Way::Clear
    }
}

fn says_https(headers: &HeaderMap) -> bool {
    let mut said = headers
        .get_all("x-forwarded-proto")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .peekable();
    said.peek().is_some() && said.all(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
}

/// Whether the host that was asked for is this machine's own.
fn is_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || bare
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn way(peer: &str, given: &[(&'static str, &'static str)], tls: bool) -> Way {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let options = FrontOptions {
            trusted_proxies: vec![
                "10.0.0.0/8".parse().unwrap(),
                "127.0.0.2/32".parse().unwrap(),
            ],
            rate_limit: None,
            admin_rate_limit: None,
            strict_transport: tls,
        };
        of(peer.parse().unwrap(), &headers, &options)
    }

    #[test]
    fn tls_is_tls() {
        assert_eq!(way("1.2.3.4", &[], true), Way::Encrypted);
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_a_stranger_is_not() {
        let https = ("x-forwarded-proto", "https");
        assert_eq!(way("10.1.1.1", &[https], false), Way::Encrypted);
        assert_eq!(way("::ffff:10.1.1.1", &[https], false), Way::Encrypted);
        assert_eq!(way("1.2.3.4", &[https], false), Way::Clear);
        assert_eq!(way("127.0.0.1", &[https], false), Way::Clear);
        for said in ["http", "", "https, http", "http,https", "httpsx"] {
            let said = [("x-forwarded-proto", said)];
            assert_eq!(way("10.1.1.1", &said, false), Way::Clear, "{said:?}");
        }
        assert_eq!(way("10.1.1.1", &[], false), Way::Clear);
    }

    #[test]
    fn this_machine_speaks_to_itself_in_clear() {
        for host in ["127.0.0.1:4201", "localhost", "LOCALHOST:1", "[::1]:4201"] {
            assert_eq!(way("127.0.0.1", &[("host", host)], false), Way::Loopback);
            assert_eq!(way("::1", &[("host", host)], false), Way::Loopback);
            assert_eq!(way("1.2.3.4", &[("host", host)], false), Way::Clear);
        }
        for host in [
            "node.example",
            "127.0.0.1.example",
            "localhost.example",
            "10.0.0.1",
            "",
        ] {
            assert_eq!(
                way("127.0.0.1", &[("host", host)], false),
                Way::Clear,
                "{host}"
            );
        }
        for name in PROXIED {
            let headers = [("host", "localhost"), (name, "1.2.3.4")];
            assert_eq!(way("127.0.0.1", &headers, false), Way::Clear, "{name}");
            assert_eq!(way("127.0.0.2", &headers, false), Way::Clear, "{name}");
        }
    }
}
