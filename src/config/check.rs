//! The rules of single values: text in, checked value or a clear sentence out.

mod names;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::TimeOfDay;
use super::error::Wrong;
pub use names::is_host;
pub(crate) use names::{host, mail};

/// The `auth_type`s that are always there (api.md, "Who is calling").
const BUILT_IN: [&str; 5] = ["google", "auth0", "x", "telegram", "discord"];

/// An IP address with a port. No names: which of a name's addresses is meant would change with the resolver.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        let wrong = format!("{text:?} is not an IP address with a port");
        Wrong::new(wrong, "write it like 127.0.0.1:4201 or [::1]:4201")
    })
}

/// An address or a network; an address is a network of one.
pub(crate) fn network(text: &str) -> Result<IpNet, Wrong> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
        let wrong = format!("{text:?} is neither an IP address nor a network");
        Wrong::new(wrong, "write it like 10.0.0.7 or 10.0.0.0/8")
    })
}

/// An absolute folder.
pub(crate) fn folder(text: &str) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        return Ok(path);
    }
    let wrong = format!("{text:?} is not an absolute path");
    Err(Wrong::new(
        wrong,
        "write it from the root on, like /var/lib/ksnode",
    ))
}

/// An address that secrets are sent to or keys are taken from: https, or http on this machine alone.
pub(crate) fn url(text: &str) -> Result<Url, Wrong> {
    let url = Url::parse(text).map_err(|error| {
        Wrong::new(
            format!("{text:?} is not a URL: {error}"),
            "write it like https://example.org/path",
        )
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new(
            "holds a user name or password",
            "remove what stands before the @",
        ));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(Wrong::new(
            format!("{text:?} would send secrets in the clear"),
            "write https (http is for this machine's own addresses alone)",
        )),
        _ => Err(Wrong::new(
            format!("{text:?} is neither https nor http"),
            "write it like https://example.org/path",
        )),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The address as it was written, checked.
pub(crate) fn url_text(text: &str) -> Result<String, Wrong> {
    url(text).map(|_| text.to_owned())
}

/// The address that paths are put behind: without a trailing slash, query or fragment.
pub(crate) fn base_url(text: &str) -> Result<String, Wrong> {
    let parsed = url(text)?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        let wrong = format!("{text:?} has a query or a fragment");
        return Err(Wrong::new(wrong, "remove what follows the ? or #"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A host name, with a port where needed, that makes `https://<domain>/` an address.
pub(crate) fn domain(text: &str) -> Result<String, Wrong> {
    let parsed = Url::parse(&format!("https://{text}/"));
    let is_bare =
        parsed.is_ok_and(|url| url.as_str() == format!("https://{text}/") && url.path() == "/");
    if is_bare && !text.contains('@') {
        return Ok(text.to_owned());
    }
    let wrong = format!("{text:?} is not a host name in lower case");
    Err(Wrong::new(
        wrong,
        "write it without https:// and slashes, like example.eu.auth0.com",
    ))
}

/// A text of at least one character, none of them a control character or a space at either end.
pub(crate) fn filled(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new("is empty", "write a value or remove the key"));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let wrong = format!("{text:?} has spaces around it or control characters in it");
        return Err(Wrong::new(wrong, "remove them"));
    }
    Ok(text.to_owned())
}

/// The `auth_type` of a further issuer. Callers send it and operators read it, so it is short and plain.
pub(crate) fn issuer_name(text: &str) -> Result<String, Wrong> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !text.starts_with(|c: char| c.is_ascii_lowercase())
        || !text.chars().all(plain)
        || text.len() > 32
    {
        let wrong = format!("{text:?} is not a plain name");
        let mend = "write 1 to 32 of a-z, 0-9, - and _, a letter first";
        return Err(Wrong::new(wrong, mend));
    }
    if BUILT_IN.contains(&text) {
        let wrong = format!("{text:?} is built in");
        return Err(Wrong::new(
            wrong,
            format!("choose another name, or set [identity.{text}]"),
        ));
    }
    Ok(text.to_owned())
}

/// What is put before a claim. Any prefix is safe, also an empty one and that of a built-in provider, because
/// a user is found by `auth_type` and identifier together, and no two issuers share an `auth_type`.
pub(crate) fn prefix(text: &str) -> Result<String, Wrong> {
    if text.len() > 64 || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let wrong = format!("{text:?} is too long or has spaces in it");
        return Err(Wrong::new(
            wrong,
            "write at most 64 characters without spaces, like corp_",
        ));
    }
    Ok(text.to_owned())
}

/// A level or filter directives. A lone word that is no level would be taken for a target that logs everything;
/// it is a misspelt level.
pub(crate) fn directives(text: &str) -> Result<String, Wrong> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let mend =
        "write error, warn, info, debug or trace, or directives like info,ksnode::store=debug";
    let words = text.split(',').map(str::trim);
    let misspelt = words.filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric()));
    for word in misspelt {
        if !LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level)) {
            return Err(Wrong::new(format!("{word:?} is not a log level"), mend));
        }
    }
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| Wrong::new(format!("{text:?} is not understood: {error}"), mend))
}

/// A time of day in UTC.
pub(crate) fn time_of_day(text: &str) -> Result<TimeOfDay, Wrong> {
    TimeOfDay::parse(text).ok_or_else(|| {
        let wrong = format!("{text:?} is not a time of day");
        Wrong::new(wrong, "write it in UTC like 03:00 or 23:59:30")
    })
}

/// An age X25519 recipient, as it was written. A secret key that was put in its place is not quoted.
pub(crate) fn age_recipient(text: &str) -> Result<String, Wrong> {
    if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
        let wrong = "holds a secret key, which must not be on this machine";
        let mend = "write its public half (age1…, from `age-keygen -y FILE`), and make a new key if this file was seen";
        return Err(Wrong::new(wrong, mend));
    }
    let parsed = text.parse::<age::x25519::Recipient>();
    parsed.map(|_| text.to_owned()).map_err(|error| {
        let wrong = format!("{text:?} is not an age recipient: {error}");
        let mend = "write the public key that age-keygen shows, age1 and 58 characters";
        Wrong::new(wrong, mend)
    })
}

/// One of a few words.
pub(crate) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Wrong> {
    choices
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            Wrong::new(
                format!("{text:?} is none of the choices"),
                format!("write {}", words.join(", ")),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_with_ports_only() {
        assert!(socket("127.0.0.1:4201").is_ok() && socket("[::]:0").is_ok());
        for bad in [
            "",
            "4201",
            ":4201",
            "127.0.0.1",
            "localhost:4201",
            "127.0.0.1:70000",
            "::1:4201x",
        ] {
            let wrong = socket(bad).unwrap_err();
            assert!(wrong.wrong.contains(bad) && wrong.mend.contains("127.0.0.1:4201"));
        }
    }

    #[test]
    fn takes_addresses_and_networks() {
        assert_eq!(
            network("10.0.0.7").unwrap(),
            network("10.0.0.7/32").unwrap()
        );
        assert!(network("fd00::/8").is_ok());
        assert!(network("10.0.0.0/33").is_err() && network("proxy").is_err());
    }

    #[test]
    fn sends_nothing_in_the_clear_beyond_this_machine() {
        for good in [
            "https://a.example/x",
            "http://127.0.0.1:9/x",
            "http://[::1]:9",
            "http://localhost:9",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "http://localhost.example",
            "ftp://a.example",
            "a.example",
            "",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
        let wrong = url("https://me:hunter2@a.example").unwrap_err();
        assert!(!wrong.wrong.contains("hunter2"));
    }

    #[test]
    fn cuts_the_slash_of_a_base_address() {
        assert_eq!(
            base_url("https://a.example/api/").unwrap(),
            "https://a.example/api"
        );
        assert!(base_url("https://a.example/?x=1").is_err());
    }

    #[test]
    fn takes_bare_host_names() {
        assert!(domain("auth0.oko.app").is_ok() && domain("127.0.0.1:8443").is_ok());
        for bad in [
            "",
            "https://auth0.oko.app",
            "auth0.oko.app/",
            "a b",
            "me@auth0.oko.app",
            "a?b",
        ] {
            assert!(domain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_issuers_are_plain_and_new() {
        assert!(issuer_name("corp-2_eu").is_ok());
        for bad in ["", "Corp", "2corp", "co rp", "cörp", "a/b", &"a".repeat(33)] {
            assert!(issuer_name(bad).is_err(), "{bad}");
        }
        assert!(
            issuer_name("google")
                .unwrap_err()
                .wrong
                .contains("built in")
        );
        assert!(prefix("").is_ok() && prefix("google_").is_ok() && prefix("a b").is_err());
    }

    #[test]
    fn takes_age_recipients_and_shows_no_secret_keys() {
        use age::secrecy::ExposeSecret;
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string();
        assert_eq!(age_recipient(&recipient).unwrap(), recipient);
        let mut mistyped = recipient.clone();
        mistyped.replace_range(
            10..12,
            if &recipient[10..12] == "qq" {
                "pp"
            } else {
                "qq"
            },
        );
        for bad in [
            "",
            "age1",
            "ssh-ed25519 AAAA",
            "me@example.org",
            &mistyped,
            &recipient[1..],
        ] {
            let wrong = age_recipient(bad).unwrap_err();
            assert!(
                wrong.wrong.contains(bad) && wrong.mend.contains("age-keygen"),
                "{bad}"
            );
        }
        let secret = identity.to_string();
        for form in [
            secret.expose_secret().to_owned(),
            secret.expose_secret().to_lowercase(),
        ] {
            let wrong = age_recipient(&form).unwrap_err();
            let shown = wrong.wrong + &wrong.mend;
            assert!(!shown.contains(&form[20..40]), "{shown}");
        }
    }

    #[test]
    fn a_misspelt_level_is_no_target() {
        for good in [
            "info",
            "WARN",
            "info,ksnode::store=debug",
            "off",
            "ksnode::store=trace",
        ] {
            assert!(directives(good).is_ok(), "{good}");
        }
        for bad in ["inof", "", "info,debg", "ksnode=loud", "="] {
            let wrong = directives(bad).unwrap_err();
            assert!(wrong.mend.contains("info,ksnode::store=debug"), "{bad}");
        }
    }
}
