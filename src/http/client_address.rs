//! Whose request it is: the peer's address, or what a trusted proxy says of it.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The client behind `peer`.
///
/// `X-Forwarded-For` is believed as far as trusted proxies wrote it: read from its end, the first address that is no
/// trusted proxy's is the client. Whatever stands before that, anybody may have sent.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_in(peer, trusted) {
        return peer;
    }
    let mut client = peer;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for hop in value.to_str().unwrap_or_default().rsplit(',') {
            let Ok(address) = hop.trim().parse::<IpAddr>() else {
                return client;
            };
            client = address.to_canonical();
            if !is_in(client, trusted) {
                return client;
            }
        }
    }
    client
}

/// Whether one of the networks contains the address. An IPv4 address in IPv6 clothes is to be undressed first.
pub(super) fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(value));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        assert_eq!(client("1.2.3.4", &["9.9.9.9"], &[]), "1.2.3.4");
        assert_eq!(client("1.2.3.4", &["9.9.9.9"], &["10.0.0.0/8"]), "1.2.3.4");
    }

    #[test]
    fn the_last_untrusted_hop_is_the_client() {
        let trusted = &["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(
            client("127.0.0.1", &["6.6.6.6, 1.2.3.4"], trusted),
            "1.2.3.4"
        );
        assert_eq!(
            client("127.0.0.1", &["6.6.6.6, 1.2.3.4, 10.1.1.1"], trusted),
            "1.2.3.4"
        );
        assert_eq!(
            client("127.0.0.1", &["6.6.6.6", "1.2.3.4"], trusted),
            "1.2.3.4"
        );
        assert_eq!(
            client("127.0.0.1", &["2001:db8::1"], trusted),
            "2001:db8::1"
        );
        assert_eq!(
            client("::ffff:127.0.0.1", &["::ffff:1.2.3.4"], trusted),
            "1.2.3.4"
        );
    }

    #[test]
    fn nonsense_stops_the_search() {
        let trusted = &["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(
            client("127.0.0.1", &["1.2.3.4, junk, 10.1.1.1"], trusted),
            "10.1.1.1"
        );
        assert_eq!(client("127.0.0.1", &[""], trusted), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &[], trusted), "127.0.0.1");
    }
}
