//! How many key shares there were, day by day.

use super::chart::{Chart, Data};
use super::parts::grouped;
use crate::clock::Timestamp;
use crate::desk::SharesOn;

/// Days that are looked back.
pub(super) const DAYS: u32 = 90;

/// All shares on each day, oldest first.
fn by_day(growth: &[SharesOn]) -> Vec<(Timestamp, u64)> {
    let mut days: Vec<(Timestamp, u64)> = Vec::new();
    for on in growth {
        let Some(day) = Timestamp::parse(&format!("{}T00:00:00.000Z", on.day)) else {
            continue;
        };
        match days.last_mut().filter(|(last, _)| *last == day) {
            Some((_, shares)) => *shares = shares.saturating_add(on.shares),
            None => days.push((day, on.shares)),
        }
    }
    days
}

/// The chart; none before there are two days.
pub(super) fn chart(growth: &[SharesOn]) -> Option<Chart> {
    let (at, shares): (Vec<_>, Vec<_>) = by_day(growth).into_iter().unzip();
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

/// How many more there are than at the end of the day before the last one, in words; nothing when that is not known.
pub(super) fn since_yesterday(growth: &[SharesOn], now: u64) -> String {
    let days = by_day(growth);
    let before = days.iter().rev().nth(1).map(|(_, shares)| *shares);
    match before {
        None => String::new(),
        Some(before) if now >= before => {
            format!("+{} since yesterday", grouped(now.saturating_sub(before)))
        }
        Some(before) => format!(
            "\u{2212}{} since yesterday",
            grouped(before.saturating_sub(now))
        ),
    }
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
        let chart = chart(&growth).unwrap();
        let shown: Vec<&str> = chart
            .rows
            .iter()
            .map(|row| row.values[0].shown.as_str())
            .collect();
        assert_eq!(shown, ["2,500", "3,000"]);
        assert_eq!(since_yesterday(&growth, 3_000), "+500 since yesterday");
        assert_eq!(since_yesterday(&growth, 2_499), "\u{2212}1 since yesterday");
    }

    #[test]
    fn a_single_day_has_no_growth() {
        let growth = [on("2026-11-30", "ed25519", 3_000)];
        assert!(chart(&growth).is_none());
        assert_eq!(since_yesterday(&growth, 3_000), "");
    }
}
