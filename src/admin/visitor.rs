//! Who comes to the admin page, and whether he may see it at all.

use std::net::IpAddr;

use ipnet::IpNet;

use super::PageError;

/// How a request reached the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over TLS, the node's own or that of a trusted proxy.
    Encrypted,
    /// In clear, from this machine to itself and through no proxy.
    Loopback,
    /// In clear, over a network or through a proxy that does not say otherwise.
    Clear,
}

/// Who sends a request, as the listener knows him.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// The client's address.
    pub address: IpAddr,
    /// How the request came.
    pub way: Way,
}

impl Visitor {
    /// Lets in whose address is in one of the networks; no networks let everybody in.
    pub(super) fn check_address(&self, allow: &[IpNet]) -> Result<(), PageError> {
        let inside = allow.iter().any(|network| network.contains(&self.address));
        if allow.is_empty() || inside {
            Ok(())
        } else {
            Err(PageError::Closed(self.address))
        }
    }

    /// Refuses a connection that others can listen to.
    pub(super) fn check_way(&self) -> Result<(), PageError> {
        match self.way {
            Way::Encrypted | Way::Loopback => Ok(()),
            Way::Clear => Err(PageError::Clear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(address: &str, way: Way) -> Visitor {
        Visitor {
            address: address.parse().unwrap(),
            way,
        }
    }

    #[test]
    fn networks_let_in_their_own_and_none_lets_in_all() {
        let allow = [
            "10.0.0.0/8".parse().unwrap(),
            "fd00::1/128".parse().unwrap(),
        ];
        for (address, inside) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("fd00::1", true),
            ("fd00::2", false),
        ] {
            let visitor = visitor(address, Way::Encrypted);
            assert_eq!(visitor.check_address(&allow).is_ok(), inside, "{address}");
            assert!(visitor.check_address(&[]).is_ok());
        }
    }

    #[test]
    fn nothing_is_shown_in_clear_but_to_this_machine() {
        for (way, shown) in [
            (Way::Encrypted, true),
            (Way::Loopback, true),
            (Way::Clear, false),
        ] {
            assert_eq!(visitor("127.0.0.1", way).check_way().is_ok(), shown);
        }
    }
}
