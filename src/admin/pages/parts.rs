//! What pages are made of: moments, states, figures, bars, as templates show them.

use std::cmp::Ordering;
use std::time::Duration;

use crate::clock::Timestamp;

/// How something stands. Each has a colour, and an icon of a shape of its own beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Tone {
    /// As it should be.
    Good,
    /// Being worked at.
    Busy,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
    /// Nothing to say for or against.
    Idle,
}

impl Tone {
    /// The class of styles.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
            Self::Idle => "idle",
        }
    }

    /// The icon.
    pub(super) fn icon(self) -> &'static str {
        match self {
            Self::Good => "circle-check",
            Self::Busy => "loader",
            Self::Warn => "triangle-alert",
            Self::Bad => "circle-x",
            Self::Idle => "circle-dashed",
        }
    }
}

/// A tone and its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl State {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

/// A moment, and how long ago it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// RFC 3339, for programs.
    pub(super) machine: String,
    /// To the minute, for people.
    pub(super) shown: String,
    /// To the millisecond, without the date's `T` and the zone.
    pub(super) exact: String,
    /// `3 hours ago`.
    pub(super) ago: String,
}

impl Moment {
    /// `at`, seen at `now`.
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        let machine = at.to_string();
        let date = machine.get(..10).unwrap_or_default();
        let minute = machine.get(11..16).unwrap_or_default();
        let time = machine.get(11..23).unwrap_or_default();
        Self {
            shown: format!("{date} {minute} UTC"),
            exact: format!("{date} {time}"),
            ago: ago(at, now),
            machine,
        }
    }

    /// The moment that an answer of the desk tells; its text as it stands, should it be none.
    pub(super) fn told(text: &str, now: Timestamp) -> Self {
        let unknown = || Self {
            machine: text.to_owned(),
            shown: text.to_owned(),
            exact: text.to_owned(),
            ago: String::new(),
        };
        Timestamp::parse(text).map_or_else(unknown, |at| Self::new(at, now))
    }
}

/// As the page's script says it when time has passed.
fn ago(at: Timestamp, now: Timestamp) -> String {
    let (span, past) = if at <= now {
        (now.since(at), true)
    } else {
        (at.since(now), false)
    };
    let Some(words) = longest_unit(span) else {
        return if past { "just now" } else { "in a moment" }.to_owned();
    };
    if past {
        format!("{words} ago")
    } else {
        format!("in {words}")
    }
}

/// `3 hours`; nothing below a minute.
pub(super) fn longest_unit(span: Duration) -> Option<String> {
    let seconds = span.as_secs();
    [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(length, _)| seconds >= *length)
        .map(|(length, name)| counted(seconds / length, name))
}

/// `1 day`, `2 days`.
pub(super) fn counted(count: u64, name: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {name}{plural}", grouped(count))
}

/// A text of the desk as a sentence of its own. A key of the configuration at its beginning stays as it is written.
pub(in crate::admin) fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    let key = text
        .split(' ')
        .next()
        .is_some_and(|word| word.contains('.'));
    let mut letters = text.chars();
    match letters.next().filter(|_| !key) {
        Some(first) => format!("{}{}{end}", first.to_uppercase(), letters.as_str()),
        None => format!("{text}{end}"),
    }
}

/// A whole number with its thousands apart: `48,213`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && digits.len().saturating_sub(position) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `+12`, `±0`, `−3`.
pub(super) fn difference(before: u64, now: u64) -> String {
    let number = grouped(now.abs_diff(before));
    match now.cmp(&before) {
        Ordering::Greater => format!("+{number}"),
        Ordering::Equal => format!("\u{b1}{number}"),
        // The sign of typographers, as wide as the plus.
        Ordering::Less => format!("\u{2212}{number}"),
    }
}

/// A measured number with three digits that say something.
pub(super) fn measured(number: f64) -> String {
    match number {
        number if number >= 1000.0 => grouped(Duration::from_secs_f64(number).as_secs()),
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}

/// A share of a whole, in whole percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) percent: u64,
    pub(super) tone: Tone,
}

impl Bar {
    /// `part` of `whole`; nothing of nothing.
    pub(super) fn of(part: u64, whole: u64, tone: Tone) -> Self {
        let percent = part.saturating_mul(100).checked_div(whole).unwrap_or(0);
        Self {
            percent: percent.min(100),
            tone,
        }
    }
}

/// A name and its value.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// In the place of the value, when it is a moment.
    pub(super) at: Option<Moment>,
}

impl Fact {
    pub(super) fn new(name: &'static str, value: impl Into<String>) -> Self {
        Self {
            name,
            value: value.into(),
            at: None,
        }
    }

    /// A moment.
    pub(super) fn of(name: &'static str, at: Timestamp, now: Timestamp) -> Self {
        Self::moment(name, Moment::new(at, now))
    }

    /// A moment that the desk told.
    pub(super) fn at(name: &'static str, told: &str, now: Timestamp) -> Self {
        Self::moment(name, Moment::told(told, now))
    }

    fn moment(name: &'static str, at: Moment) -> Self {
        Self {
            name,
            value: String::new(),
            at: Some(at),
        }
    }
}

/// One large figure.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) unit: &'static str,
    /// What is said below it.
    pub(super) beside: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_to_the_minute_and_how_long_ago() {
        let at = Timestamp::parse("2026-11-19T03:00:59.250Z").unwrap();
        let moment = |seconds| Moment::new(at, at.plus(Duration::from_secs(seconds)));
        let now = moment(59);
        assert_eq!(
            (now.machine.as_str(), now.shown.as_str(), now.ago.as_str()),
            (
                "2026-11-19T03:00:59.250Z",
                "2026-11-19 03:00 UTC",
                "just now"
            )
        );
        assert_eq!(now.exact, "2026-11-19 03:00:59.250");
        for (seconds, ago) in [
            (60, "1 minute ago"),
            (7_199, "1 hour ago"),
            (7_200, "2 hours ago"),
            (200_000, "2 days ago"),
        ] {
            assert_eq!(moment(seconds).ago, ago);
        }
        let ahead = Moment::new(at, at.minus(Duration::from_secs(3_600)));
        assert_eq!(ahead.ago, "in 1 hour");
        assert_eq!(Moment::told("yesterday", at).shown, "yesterday");
    }

    #[test]
    fn numbers_are_readable() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        for (number, text) in [
            (0.0, "0.00"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1_234.5, "1,234"),
        ] {
            assert_eq!(measured(number), text);
        }
        for (before, now, text) in [(1, 1_001, "+1,000"), (3, 3, "\u{b1}0"), (3, 1, "\u{2212}2")] {
            assert_eq!(difference(before, now), text);
        }
    }

    #[test]
    fn a_bar_is_within_its_bounds() {
        let percent = |part, whole| Bar::of(part, whole, Tone::Good).percent;
        assert_eq!(
            [percent(1, 3), percent(3, 3), percent(4, 3), percent(1, 0)],
            [33, 100, 100, 0]
        );
    }

    #[test]
    fn a_text_becomes_a_sentence() {
        for (text, told) in [
            ("no room", "No room."),
            ("Is it?", "Is it?"),
            ("", "."),
            ("backup.after failed", "backup.after failed."),
            ("über alles.", "Über alles."),
        ] {
            assert_eq!(sentence(text), told);
        }
    }
}
