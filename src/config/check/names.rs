//! Names that stand in certificates, and the mail address for their authority.

use std::net::IpAddr;

use super::super::error::Wrong;

/// A host by which clients reach the node: a name in lower case without wildcards, or an IP address.
pub(crate) fn host(text: &str) -> Result<String, Wrong> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A name that ends in a number is read as an address by browsers (WHATWG URL, host parsing).
    let numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.chars().all(|c| c.is_ascii_digit()));
    if text.len() <= 253 && text.split('.').all(label) && !numeric {
        return Ok(text.to_owned());
    }
    let wrong = format!("{text:?} is no host name in lower case and no IP address");
    let mend = "write it without https://, port or *, like node.example.org (names in other letters in their xn-- form)";
    Err(Wrong::new(wrong, mend))
}

/// Whether `text` is a host as `tls.domains` takes them: a name in lower case, or an IP address without brackets.
pub fn is_host(text: &str) -> bool {
    host(text).is_ok()
}

/// A mail address, as far as its form tells.
pub(crate) fn mail(text: &str) -> Result<String, Wrong> {
    let bare = text.strip_prefix("mailto:").unwrap_or(text);
    let odd = |c: char| !c.is_ascii_graphic() || "<>,;\"\\".contains(c);
    match bare.split_once('@') {
        Some((name, domain))
            if !name.is_empty()
                && domain.contains('.')
                && !domain.contains('@')
                && !bare.contains(odd) =>
        {
            Ok(bare.to_owned())
        }
        _ => Err(Wrong::new(
            format!("{text:?} is no mail address"),
            "write it like admin@example.org",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_hosts_that_a_certificate_can_name() {
        for good in ["node.example.org", "localhost", "xn--bcher-kva.example"] {
            assert_eq!(host(good).unwrap(), good);
        }
        assert_eq!(host("127.0.0.1").unwrap(), "127.0.0.1");
        assert_eq!(host("0:0::1").unwrap(), "::1");
        for bad in [
            "",
            "Node.example.org",
            "*.example.org",
            "https://node.example.org",
            "node.example.org:443",
            "node.example.org.",
            "-node.example",
            "b\u{fc}cher.example",
            "1.2.3",
            "[::1]",
        ] {
            assert!(host(bad).unwrap_err().wrong.contains("host name"), "{bad}");
        }
    }

    #[test]
    fn takes_mail_addresses() {
        assert_eq!(mail("mailto:a@b.example").unwrap(), "a@b.example");
        for bad in [
            "",
            "a",
            "a@b",
            "@b.example",
            "a b@c.example",
            "a@b@c.example",
        ] {
            assert!(mail(bad).is_err(), "{bad}");
        }
    }
}
