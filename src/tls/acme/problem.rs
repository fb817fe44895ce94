//! What an authority says when there is no certificate (RFC 7807, RFC 8555, 6.7).

use std::fmt;
use std::time::Duration;

use rustls_acme::acme::{AcmeError, Auth, Identifier, Order, Problem as Told};

const KIND: &str = "urn:ietf:params:acme:error:";
/// How rustls-acme begins what it says of an answer that is no success; status and quoted body follow. The type that
/// holds them cannot be named outside of it.
const NO_SUCCESS: &str = "non 2xx http status: ";
/// Characters that are shown of what an authority says.
const SHOWN: usize = 500;

/// Something between the node and its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The status of the answer, when there was one.
    status: Option<u16>,
    /// The end of the problem's type, like `badNonce`.
    kind: Option<String>,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match (&self.kind, self.status) {
            (Some(kind), _) => write!(f, " ({kind})"),
            (None, Some(status)) => write!(f, " (status {status})"),
            (None, None) => Ok(()),
        }
    }
}

impl Problem {
    /// Of a request.
    pub(super) fn of(error: &AcmeError) -> Self {
        Self::parse(&error.to_string())
    }

    /// Of a name that is not valid.
    pub(super) fn of_validation(found: &Auth) -> Self {
        let Identifier::Dns(name) = &found.identifier;
        let told = found.challenges.iter().find_map(|it| it.error.as_ref());
        let what = format!("the authority could not validate {name}");
        Self::told(what, told)
    }

    /// Of an order that is not valid.
    pub(super) fn of_order(order: &Order) -> Self {
        let what = "the authority gave the order up".to_owned();
        Self::told(what, order.error.as_ref())
    }

    /// Nothing was heard for a time.
    pub(super) fn silent(what: &str, waited: Duration) -> Self {
        let seconds = waited.as_secs();
        Self {
            status: None,
            kind: None,
            text: format!("no answer within {seconds} s ({what})"),
        }
    }

    /// On this side.
    pub(super) fn ours(error: &dyn fmt::Display) -> Self {
        Self {
            status: None,
            kind: None,
            text: error.to_string(),
        }
    }

    /// Whether the request is to be made again at once.
    pub(super) fn is_bad_nonce(&self) -> bool {
        self.kind.as_deref() == Some("badNonce")
    }

    /// Whether the authority understood what was asked for and said no. What is wrong with the authority itself, or with
    /// the way to it, is none.
    pub(super) fn is_refusal(&self) -> bool {
        match (self.kind.as_deref(), self.status) {
            (Some("badNonce" | "serverInternal"), _) => false,
            (Some(_), _) => true,
            (None, status) => status.is_some_and(|status| (400..500).contains(&status)),
        }
    }

    fn told(what: String, told: Option<&Told>) -> Self {
        let detail = told.and_then(|told| told.detail.as_deref());
        let kind = told.and_then(|told| told.typ.as_deref());
        Self {
            status: None,
            // A refusal of some kind, whatever is told of it.
            kind: Some(kind.map_or("invalid", short).to_owned()),
            text: match detail {
                Some(detail) => format!("{what}: {}", one_line(detail)),
                None => what,
            },
        }
    }

    fn parse(text: &str) -> Self {
        let Some((_, answer)) = text.split_once(NO_SUCCESS) else {
            return Self {
                status: None,
                kind: None,
                text: format!("the authority cannot be asked: {}", of_connection(text)),
            };
        };
        let (status, quoted) = answer.split_once(' ').unwrap_or((answer, ""));
        let status = status.parse().ok();
        let body = unquote(quoted);
        match serde_json::from_str::<Told>(&body) {
            Ok(told) if told.typ.is_some() || told.detail.is_some() => Self {
                status,
                kind: told.typ.as_deref().map(|kind| short(kind).to_owned()),
                text: format!(
                    "the authority refuses: {}",
                    one_line(told.detail.as_deref().unwrap_or_default())
                ),
            },
            _ => Self {
                status,
                kind: None,
                text: format!("the authority answers: {}", one_line(&body)),
            },
        }
    }
}

fn short(kind: &str) -> &str {
    kind.strip_prefix(KIND).unwrap_or(kind)
}

/// On one line, without what a terminal would obey.
fn one_line(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return "it does not say why".to_owned();
    }
    words.join(" ").chars().take(SHOWN).collect()
}

/// Takes back the quoting of Rust's `Debug`.
fn unquote(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.trim_matches('"').chars();
    while let Some(character) = characters.next() {
        let unescaped = match (character, &mut characters) {
            ('\\', rest) => match rest.next() {
                Some('n') => Some('\n'),
                Some('r') => Some('\r'),
                Some('t') => Some('\t'),
                Some('u') => {
                    let digits = rest.skip(1).take_while(|&digit| digit != '}');
                    let digits: String = digits.collect();
                    let number = u32::from_str_radix(&digits, 16).ok();
                    number.and_then(char::from_u32)
                }
                other => other,
            },
            (other, _) => Some(other),
        };
        text.extend(unescaped);
    }
    text
}

/// The system's words for why there is no connection, which rustls-acme shows inside of its own types; all of `text` when it is
/// something else.
fn of_connection(text: &str) -> &str {
    let inner = || {
        let (_, shown) = text.split_once("ConnectError(")?;
        let (_, quoted) = shown.split_once(": \"")?;
        quoted.rsplit_once('"')
    };
    inner().map_or(text, |(words, _)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Problem {
        Problem::parse(&format!(
            "http request error: non 2xx http status: {status} {body:?}"
        ))
    }

    fn document(status: u16, kind: &str) -> Problem {
        let body = format!(
            "{{\n  \"type\": \"urn:ietf:params:acme:error:{kind}\",\n  \"detail\": \"No, \\\"thanks\\\"\"\n}}"
        );
        answer(status, &body)
    }

    #[test]
    fn a_way_that_fails_is_told_in_the_systems_words() {
        let text = r#"http request error: http error: ConnectError(TcpConnect(Custom { kind: Uncategorized, error: "no such name" }))"#;
        assert_eq!(of_connection(text), "no such name");
        let text = r#"http error: ConnectError(TcpConnect(Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }))"#;
        assert_eq!(of_connection(text), "Connection refused");
        for other in ["ConnectError(InvalidUri)", "http error: TooManyRedirects"] {
            assert_eq!(of_connection(other), other);
        }
    }

    #[test]
    fn a_problem_document_is_understood() {
        let problem = document(400, "rejectedIdentifier");
        assert_eq!(
            problem.to_string(),
            "the authority refuses: No, \"thanks\" (rejectedIdentifier)"
        );
        assert!(problem.is_refusal() && !problem.is_bad_nonce());
        assert!(document(400, "badNonce").is_bad_nonce());
    }

    #[test]
    fn quoting_is_taken_back() {
        for text in ["", "plain", "a \"b\"\\ \n\t\r", "\u{1b}\u{a0}é'\u{200b}x"] {
            assert_eq!(unquote(&format!("{text:?}")), text);
        }
    }

    #[test]
    fn what_is_the_authoritys_own_trouble_is_no_refusal() {
        for (problem, refusal) in [
            (document(400, "badNonce"), false),
            (document(500, "serverInternal"), false),
            (document(503, "rateLimited"), true),
            (document(429, "rateLimited"), true),
            (document(403, "unauthorized"), true),
            (answer(502, "<html>Bad Gateway</html>"), false),
            (answer(404, ""), true),
            (Problem::parse("io error: refused"), false),
            (Problem::silent("the order", Duration::from_secs(30)), false),
            (Problem::ours(&"no randomness"), false),
        ] {
            assert_eq!(problem.is_refusal(), refusal, "{problem}");
        }
    }

    #[test]
    fn any_answer_is_shown_on_one_short_line() {
        let long = answer(502, &format!("<html>\u{1b}[31m\n{}", "x".repeat(5000))).to_string();
        assert!(
            long.starts_with("the authority answers: <html> [31m xxx") && long.len() < 600,
            "{long}"
        );
        assert!(long.ends_with("x (status 502)") && !long.contains('\u{1b}'));
        let none = answer(404, "").to_string();
        assert_eq!(
            none,
            "the authority answers: it does not say why (status 404)"
        );
    }
}
