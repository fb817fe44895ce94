//! The text format of Postgres' COPY, both ways, and the values in it. `pg_restore` writes it, a live server sends it,
//! `psql` and a live server read it: one parser and one writer serve all.

use std::fmt::Write;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::clock::Timestamp;

/// A moment as Postgres keeps it: microseconds since 1970.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

const MOMENT: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond]]]\
     [offset_hour sign:mandatory][optional [:[offset_minute]]][optional [:[offset_second]]]"
);
const UTC_MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]+00");

impl Micros {
    /// Reads `2026-01-02 03:04:05.678901+09`, Postgres' form with `datestyle = ISO`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, MOMENT).ok()?;
        let micros = moment.unix_timestamp_nanos().div_euclid(1000);
        i64::try_from(micros).ok().map(Self)
    }

    /// The whole milliseconds, rounded down.
    pub(super) fn timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.div_euclid(1000))
    }

    /// The moment that `known` gave when it was rounded down to `shown`; else `shown` itself, which was changed since.
    pub(super) fn refine(known: Option<Self>, shown: Timestamp) -> Self {
        known
            .filter(|known| known.timestamp() == shown)
            .unwrap_or(Self(shown.as_millis().saturating_mul(1000)))
    }

    /// The same form as [`Self::parse`] reads, in UTC.
    pub(super) fn text(self) -> String {
        let nanos = i128::from(self.0).saturating_mul(1000);
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .ok()
            .map(|moment| moment.to_offset(UtcOffset::UTC))
            .and_then(|moment| moment.format(UTC_MOMENT).ok())
            // Beyond the year 9999, which no clock of ours shows.
            .unwrap_or_else(|| "infinity".to_owned())
    }
}

/// The fields of a line without its end; `None` is NULL.
pub(super) fn fields(line: &[u8]) -> Vec<Option<Vec<u8>>> {
    line.split(|&byte| byte == b'\t').map(field).collect()
}

fn field(raw: &[u8]) -> Option<Vec<u8>> {
    if raw == b"\\N" {
        return None;
    }
    let mut value = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        value.push(match bytes.next() {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'v') => 0x0B,
            Some(other) => other,
            None => b'\\',
        });
    }
    Some(value)
}

/// A line being written.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    begun: bool,
}

impl Line {
    /// Adds a text, or NULL.
    #[must_use]
    pub(super) fn text(mut self, value: Option<&str>) -> Self {
        if std::mem::replace(&mut self.begun, true) {
            self.text.push('\t');
        }
        let Some(value) = value else {
            self.text.push_str("\\N");
            return self;
        };
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                other => self.text.push(other),
            }
        }
        self
    }

    /// Adds anything that prints itself.
    #[must_use]
    pub(super) fn value(self, value: impl ToString) -> Self {
        self.text(Some(&value.to_string()))
    }

    /// Adds bytes.
    #[must_use]
    pub(super) fn bytes(self, value: &[u8]) -> Self {
        let mut text = String::from("\\x");
        // A String takes whatever is written to it.
        let _ = value.iter().try_for_each(|byte| write!(text, "{byte:02x}"));
        self.text(Some(&text))
    }

    /// The line with its end.
    pub(super) fn end(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_of_every_zone() {
        for (text, micros) in [
            ("1970-01-01 00:00:00+00", 0),
            ("2026-01-02 03:04:05.678901+00", 1_767_323_045_678_901),
            ("2026-01-02 12:04:05.678901+09", 1_767_323_045_678_901),
            ("2026-01-02 08:34:05.6789+05:30", 1_767_323_045_678_900),
            ("2026-01-02 00:04:05-03", 1_767_323_045_000_000),
            ("1969-12-31 23:59:59.999999+00", -1),
            ("1900-01-01 00:19:32+00:19:32", -2_208_988_800_000_000),
        ] {
            assert_eq!(Micros::parse(text), Some(Micros(micros)), "{text}");
            assert_eq!(Micros::parse(&Micros(micros).text()), Some(Micros(micros)));
        }
        for text in ["infinity", "", "2026-01-02", "0044-03-15 00:00:00+00 BC"] {
            assert_eq!(Micros::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_refined_unless_it_changed() {
        let known = Micros(1_767_323_045_678_901);
        let shown = known.timestamp();
        assert_eq!(Micros::refine(Some(known), shown), known);
        assert_eq!(Micros::refine(None, shown).0, 1_767_323_045_678_000);
        let later = shown.plus(std::time::Duration::from_millis(1));
        assert_eq!(Micros::refine(Some(known), later).0, 1_767_323_045_679_000);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(texts in proptest::collection::vec(proptest::option::of("[a\\\\\t\n\rNé]{0,5}"), 1..5)) {
            let mut line = Line::default();
            for text in &texts {
                line = line.text(text.as_deref());
            }
            let line = line.end();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let back: Vec<_> = fields(line.trim_end_matches('\n').as_bytes());
            let expected: Vec<_> = texts.iter().map(|text| text.as_ref().map(|text| text.clone().into_bytes())).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
