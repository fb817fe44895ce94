//! Where the admin page is found.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Config, TlsMode};

impl Config {
    /// The address that a browser is given, when there is a page. The API is served at `api`, and the page at `own` where it
    /// has a listener of its own. Behind a proxy the proxy's name stands in its place, which is not known here.
    pub fn admin_page(&self, api: &[SocketAddr], own: Option<SocketAddr>) -> Option<String> {
        let listener = own.or_else(|| api.first().copied());
        let address = listener.filter(|_| self.admin.enabled)?;
        let (scheme, standard) = match self.tls.mode {
            TlsMode::Off => ("http", 80),
            _ => ("https", 443),
        };
        let host = match (self.tls.domains.first(), address.ip()) {
            (Some(name), ip) if !ip.is_loopback() => name.clone(),
            (_, IpAddr::V4(ip)) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
            (_, IpAddr::V4(ip)) => ip.to_string(),
            (_, IpAddr::V6(ip)) if ip.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
            (_, IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        Some(match address.port() {
            port if port == standard => format!("{scheme}://{host}/admin"),
            port => format!("{scheme}://{host}:{port}/admin"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::defaults_in;
    use super::*;

    fn page(tls: bool, names: &[&str], api: &str, own: Option<&str>) -> Option<String> {
        let mut config = defaults_in(std::path::Path::new("/d"));
        if tls {
            config.tls.mode = TlsMode::SelfSigned;
        }
        config.tls.domains = names.iter().map(|name| (*name).to_owned()).collect();
        let own = own.map(|own| own.parse().unwrap());
        config.admin_page(&[api.parse().unwrap()], own)
    }

    #[test]
    fn it_is_what_a_browser_is_given() {
        let name = &["node.example"][..];
        for (tls, names, api, own, url) in [
            (
                false,
                &[][..],
                "127.0.0.1:4201",
                None,
                "http://127.0.0.1:4201/admin",
            ),
            (
                true,
                name,
                "0.0.0.0:443",
                None,
                "https://node.example/admin",
            ),
            (
                true,
                name,
                "[::]:4201",
                None,
                "https://node.example:4201/admin",
            ),
            (true, &[], "[::]:443", None, "https://[::1]/admin"),
            (true, &[], "0.0.0.0:443", None, "https://127.0.0.1/admin"),
            (
                true,
                name,
                "0.0.0.0:443",
                Some("127.0.0.1:4203"),
                "https://127.0.0.1:4203/admin",
            ),
        ] {
            assert_eq!(page(tls, names, api, own).unwrap(), url);
        }
        let mut config = defaults_in(std::path::Path::new("/d"));
        config.admin.enabled = false;
        assert_eq!(config.admin_page(&config.server.listen, None), None);
    }
}
