//! Numbers as people read them.

use std::time::Duration;

use indicatif::HumanBytes;

/// A size: `12.34 MiB`.
pub fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A span of time in its two largest units: `9 h 12 min`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        return format!("{} ms", time.subsec_millis());
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        let count = rest / length;
        rest %= length;
        // After the first unit exactly one more, which may be 0 and is left out then.
        if !parts.is_empty() || count > 0 {
            parts.push((count, unit));
        }
    }
    let shown: Vec<String> = parts
        .into_iter()
        .take(2)
        .filter(|&(count, _)| count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, text) in [
            (1, "1 s"),
            (59, "59 s"),
            (60, "1 min"),
            (185, "3 min 5 s"),
            (33_120, "9 h 12 min"),
            (36_005, "10 h"),
            (3 * 86_400 + 4 * 3_600 + 59, "3 d 4 h"),
            (86_400 * 1000, "1000 d"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
        assert_eq!(span(Duration::from_millis(2_250)), "2 s");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(235 << 20), "235.00 MiB");
    }
}
