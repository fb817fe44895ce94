//! How many key shares there were, day by day.

use std::time::Duration;

use super::chart::{Chart, Data};
use super::parts::difference;
use crate::clock::Timestamp;
use crate::desk::{SharesOf, SharesOn};

/// Days that are looked back.
pub(super) const DAYS: u32 = 90;

/// Days over which the growth of each kind is told.
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// When a day begins.
fn begin_of(day: &str) -> Option<Timestamp> {
    Timestamp::parse(&format!("{day}T00:00:00.000Z"))
}

/// How many more shares of a provider's users on a curve there are than a month ago, or than on the first day since that is
/// known; nothing before there is a day that is over.
pub(super) fn in_a_month(growth: &[SharesOn], of: &SharesOf, now: Timestamp) -> Option<String> {
    let counts = |day: Timestamp| day.plus(MONTH) >= now && !is_today(day, now);
    let first = growth
        .iter()
        .find(|on| begin_of(&on.day).is_some_and(counts))?;
    let before = growth
        .iter()
        .find(|on| on.day == first.day && on.provider == of.provider && on.curve == of.curve);
    Some(difference(before.map_or(0, |on| on.shares), of.shares))
}

/// All shares on each day, oldest first.
fn by_day(growth: &[SharesOn]) -> Vec<(Timestamp, u64)> {
    let mut days: Vec<(Timestamp, u64)> = Vec::new();
    for on in growth {
        let Some(day) = begin_of(&on.day) else {
            continue;
        };
        match days.last_mut().filter(|(last, _)| *last == day) {
            Some((_, shares)) => *shares = shares.saturating_add(on.shares),
            None => days.push((day, on.shares)),
        }
    }
    days
}

/// The chart, which ends with how many there are `now`, where that is known; none before there are two days.
pub(super) fn chart(growth: &[SharesOn], today: Option<u64>, now: Timestamp) -> Option<Chart> {
    let mut days = by_day(growth);
    if let Some(shares) = today {
        days.retain(|(day, _)| !is_today(*day, now));
        days.push((begin_of(&now.day())?, shares));
    }
    let (at, shares): (Vec<_>, Vec<_>) = days.into_iter().unzip();
    // There are never so many that one would not fit.
    let value = |count: u64| Some(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
    Data {
        id: "growth",
        name: "Key shares by day",
        unit: "",
        whole: true,
        at,
        lines: vec![("shares", shares.into_iter().map(value).collect())],
    }
    .chart()
}

/// How many more there are than at the end of the last day that is over, in words; nothing when that is not known.
pub(super) fn since_yesterday(growth: &[SharesOn], shares: u64, now: Timestamp) -> String {
    let days = by_day(growth);
    let last = days.iter().rev().find(|(day, _)| !is_today(*day, now));
    let Some((day, before)) = last else {
        return String::new();
    };
    let since = if day.plus(DAY.saturating_mul(2)) > now {
        "yesterday".to_owned()
    } else {
        day.day()
    };
    format!("{} since {since}", difference(*before, shares))
}

fn is_today(day: Timestamp, now: Timestamp) -> bool {
    day.plus(DAY) > now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(day: &str, curve: &str, shares: u64) -> SharesOn {
        SharesOn {
            day: day.to_owned(),
            provider: "google".to_owned(),
            curve: curve.to_owned(),
            shares,
        }
    }

    #[test]
    fn the_kinds_of_a_day_are_one_value() {
        let growth = [
            on("2026-11-29", "ed25519", 1_000),
            on("2026-11-29", "secp256k1", 1_500),
            on("2026-11-30", "ed25519", 3_000),
        ];
        let now = Timestamp::parse("2026-11-30T12:00:00.000Z").unwrap();
        let chart = chart(&growth, Some(3_002), now).unwrap();
        let shown: Vec<&str> = chart
            .rows
            .iter()
            .map(|row| row.values[0].shown.as_str())
            .collect();
        assert_eq!(shown, ["2,500", "3,002"]);
        let since = |shares, now| since_yesterday(&growth, shares, now);
        assert_eq!(since(3_000, now), "+500 since yesterday");
        assert_eq!(since(2_499, now), "\u{2212}1 since yesterday");
        // The node was off for some days.
        assert_eq!(since(3_001, now.plus(DAY * 3)), "+1 since 2026-11-30");
    }

    #[test]
    fn each_kind_grows_by_itself_since_a_month_ago() {
        let growth = [
            on("2026-10-01", "ed25519", 1),
            on("2026-11-20", "ed25519", 1_000),
            on("2026-11-20", "secp256k1", 9),
            on("2026-11-29", "ed25519", 1_800),
            on("2026-11-30", "ed25519", 3_000),
        ];
        let now = Timestamp::parse("2026-11-30T12:00:00.000Z").unwrap();
        let of = |curve: &str, shares| SharesOf {
            provider: "google".to_owned(),
            curve: curve.to_owned(),
            shares,
        };
        for (curve, shares, told) in [
            ("ed25519", 3_000, "+2,000"),
            ("secp256k1", 7, "\u{2212}2"),
            ("secp256k1", 9, "\u{b1}0"),
            ("another", 5, "+5"),
        ] {
            let grown = in_a_month(&growth, &of(curve, shares), now);
            assert_eq!(grown.as_deref(), Some(told), "{curve}");
        }
        assert_eq!(in_a_month(&growth[4..], &of("ed25519", 3_000), now), None);
        assert_eq!(in_a_month(&[], &of("ed25519", 3_000), now), None);
    }

    #[test]
    fn a_single_day_has_no_growth() {
        let growth = [on("2026-11-30", "ed25519", 3_000)];
        let now = Timestamp::parse("2026-11-30T12:00:00.000Z").unwrap();
        assert!(chart(&growth, Some(3_000), now).is_none() && chart(&growth, None, now).is_none());
        assert_eq!(since_yesterday(&growth, 3_000, now), "");
    }
}
