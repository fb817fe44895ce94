//! A time of day, in UTC.

use std::fmt;

/// A moment of every day, UTC, to the second. There is no daylight saving in it: each comes once a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u32);

impl TimeOfDay {
    /// `HH:MM` or `HH:MM:SS`, from 00:00 to 23:59:59, two digits each; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let hours = below(24, parts.next()?)?;
        let minutes = below(60, parts.next()?)?;
        let seconds = parts.next().map_or(Some(0), |part| below(60, part))?;
        parts
            .next()
            .is_none()
            .then_some(Self(hours * 3600 + minutes * 60 + seconds))
    }

    /// Seconds since midnight, below 86,400.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// A number of two digits below `limit`.
fn below(limit: u32, part: &str) -> Option<u32> {
    let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = digits.then(|| part.parse().ok())??;
    (number < limit).then_some(number)
}

/// As it is written: `HH:MM`, with seconds only when there are any.
impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{hours:02}:{minutes:02}")?;
        if seconds > 0 {
            write!(f, ":{seconds:02}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_midnight() {
        for (text, seconds) in [
            ("00:00", 0),
            ("03:00", 10_800),
            ("23:59", 86_340),
            ("00:00:01", 1),
            ("23:59:59", 86_399),
        ] {
            let time = TimeOfDay::parse(text).unwrap();
            assert_eq!((time.seconds(), time.to_string().as_str()), (seconds, text));
        }
    }

    #[test]
    fn every_second_of_the_day_reads_back() {
        for seconds in 0..86_400 {
            let time = TimeOfDay(seconds);
            assert_eq!(TimeOfDay::parse(&time.to_string()), Some(time));
        }
    }

    #[test]
    fn takes_nothing_else() {
        for bad in [
            "",
            "3:00",
            "03",
            "03:0",
            "24:00",
            "03:60",
            "03:00:60",
            "03:00:",
            "03:00:00:00",
            "+3:00",
            "03.00",
            " 03:00",
            "03:00Z",
            "0\u{663}:00",
            "3am",
        ] {
            assert_eq!(TimeOfDay::parse(bad), None, "{bad}");
        }
    }
}
